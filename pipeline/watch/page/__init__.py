"""The page of one run, DIR/run.html: what the run was, how fast, what it dropped and why, its pictures.

One file without a network: style, scripts and figures are in it. Pictures and videos are links relative to DIR: DIR can be moved.
"""
