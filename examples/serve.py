"""Serve every task of an archive over HTTP: `ARCHIVE=digits.h5 uvicorn serve:app`.

`NET=my_nets:small_conv` beside it says that the code of an archive's own network may be run. POST
images, an .npy file of float32 rows normalised as in training, to /predict/TASK, or to /infer where
nobody knows the task. Needs the extra `serve`.
"""

import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, Request

from supsup import SupSup


def make_app(archive: str, network: Any = None) -> FastAPI:
    """An application over an archive; masks of tasks that are asked for again stay in memory.

    `network` is what `SupSup.open` takes: a name to trust, or a module.
    """
    app, model = FastAPI(), SupSup.open(archive, network)

    async def answer(request: Request, ask: Callable[[Any], Any]) -> Any:
        try:
            return ask(np.load(io.BytesIO(await request.body()), allow_pickle=False))
        except KeyError as error:
            raise HTTPException(404, str(error)) from error
        except (ValueError, EOFError) as error:
            raise HTTPException(400, str(error)) from error

    @app.post("/predict/{task:path}")
    async def predict(task: str, request: Request) -> dict[str, Any]:
        found = await answer(request, lambda images: model.predict(images, task))
        return {"classes": found.predictions.tolist(), "labels": found.labels}

    @app.post("/infer")
    async def infer(request: Request) -> dict[str, Any]:
        found = await answer(request, model.infer)
        classes = found.predictions.tolist()
        return {"tasks": found.names, "classes": classes, "labels": found.labels}

    return app


if "ARCHIVE" in os.environ:
    app = make_app(os.environ["ARCHIVE"], os.environ.get("NET"))
elif __name__ == "__main__":  # to try it: a small archive, asked without a network
    import asyncio

    import httpx

    with SupSup.create("served.h5", "lenet-300-100", outputs=10) as model:
        model.train("split-mnist-sample", count=2, steps=20, quiet=True)
        images, labels = next(model.data("split-mnist/1").test_batches(4))
    body = io.BytesIO()
    np.save(body, images.numpy())

    async def ask() -> None:
        """What a client would send."""
        inside = httpx.ASGITransport(make_app("served.h5"))
        async with httpx.AsyncClient(transport=inside, base_url="http://served") as client:
            for path in ("/predict/split-mnist/1", "/infer", "/predict/split-mnist/9"):
                found = await client.post(path, content=body.getvalue())
                print(found.status_code, found.json())
        print("labels", labels.tolist())

    asyncio.run(ask())
