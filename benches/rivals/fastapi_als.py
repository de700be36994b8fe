"""A FastAPI service that folds a user in by the package `implicit`: what one would write in an afternoon.

Usage: fastapi_als.py CLICKS.TSV. Prints its address when it is about to serve. Histories lie in memory as a sparse matrix, each
request recalculates the user's factors from theirs (`recalculate_user=True`) and takes the ten best items.
"""

import os
import socket
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import implicit
import numpy as np
import scipy.sparse as sparse
import uvicorn
from fastapi import FastAPI


def main() -> None:
    users, items = np.loadtxt(sys.argv[1], dtype=np.int32, delimiter="\t", unpack=True)
    clicks = sparse.csr_matrix((np.ones(len(users), dtype=np.float32), (users, items)))
    model = implicit.als.AlternatingLeastSquares(factors=64, iterations=3, num_threads=1, random_state=1)
    model.fit(clicks, show_progress=False)
    app = FastAPI()

    @app.get("/health/ready")
    async def ready() -> dict:
        return {"status": "ok"}

    @app.get("/users/{user}/recommendations")
    async def recommend(user: str, n: int = 10) -> dict:
        row = clicks[int(user[1:])]
        found, scores = model.recommend(0, row, N=n, recalculate_user=True)
        return {"items": [{"item": str(item), "score": float(score)} for item, score in zip(found, scores)]}

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    print("%s:%d" % listener.getsockname(), flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False)).run(sockets=[listener])


main()
