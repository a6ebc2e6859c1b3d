"""`pipe send`: plays recorded packets and pictures to a port, as the sensor would have sent them."""
