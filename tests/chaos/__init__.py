"""Chaos: kill any process at any time, and account for every frame, slot, process, descriptor and socket without the engine.

    PYTHONPATH=tests python -m chaos [--quick] [--seed N] [--only steps,random,stops,disk,supervisor]

nodes.py       the nodes of the graphs under test: a source with a gate, a join, sinks that write which frames they saw, and when
graphs.py      the graphs
rig.py         one running graph: opens and closes the gate, waits, checks, ends
account.py     ids produced, received and dropped, from the sinks' files and drops.jsonl
words.py       the slots' words and generations, from the supervisor's memfds
procs.py       processes, descriptors, memfds, sockets and folders, from /proc
scenarios.py   the attacks on the graphs
tally.py       findings, as a table and as JSON
restart.py     a separate program: kills processes of kitti_lidar in mid-run and checks that its result files are complete
losses.py      the frames that drops.jsonl names as lost on the way to a sink

account, words, procs and losses import nothing of the engine, so they cannot repeat its mistakes.
"""
