"""The bench, `./ledger bench`: every rate beside a denominator taken on the same machine in the same minute.

A rate alone says how fast the machine is. Here each one stands beside what the
machine can do without us: COPY of the same rows, an echo RPC of the same size, the
bare SQL transaction; or beside the same load in a simpler place: one worker, one
ledger, an empty one. The two sides alternate (A B A B ...), and the median of the
pairs' ratios is what counts. Server, database and load are processes of their own,
so that the CPU of each is known apart.

`suites` say what is measured, `jobs` are what a load process does for them.
"""
