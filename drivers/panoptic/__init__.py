"""What drivers of panoptic data sets share: the skeleton, label pictures, tables of classes."""
