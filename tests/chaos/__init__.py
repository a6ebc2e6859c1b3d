"""Chaos: kill whoever, whenever, and account for every frame, slot, process, descriptor and socket without asking the engine.

    PYTHONPATH=tests python -m chaos [--quick] [--seed N] [--only steps,random,stops,disk,supervisor]

nodes.py       what runs in the graphs under fire: a source with a gate, a join, sinks that write what they saw, and when
graphs.py      the graphs
rig.py         one running graph: opens and closes the gate, waits, looks, ends
account.py     ids produced, received and dropped, from the sinks' files and drops.jsonl
words.py       the slots' words and generations, from the supervisor's memfds
procs.py       processes, descriptors, memfds, sockets and folders, from /proc
scenarios.py   what is done to the graphs
tally.py       what was found, as a table and as JSON
restart.py     another program: parts of kitti_lidar are killed in the middle; are its result files complete?
losses.py      the frames that drops.jsonl names as lost on the way to a sink

account, words, procs and losses import nothing of the engine, so that they cannot repeat its mistakes.
"""
