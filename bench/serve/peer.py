"""The server that many write first: FastAPI, Pillow and onnxruntime.

    python bench/serve/peer.py --port 9000 --threads 2 small=small.onnx large=large.onnx

It takes the same requests as Ballast: a JPEG file as multipart/form-data, or a
binary tensor of the Open Inference Protocol. Decoding and inference run in
Starlette's thread pool, so that the event loop stays free. There is no
dynamic batching: each request is a forward pass of its own.
"""

import argparse
import json

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, File, HTTPException, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from PIL import Image
from starlette.concurrency import run_in_threadpool

SIZE = (32, 32)
MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32)
STD = np.array([0.2470, 0.2435, 0.2616], np.float32)
SCALE, SHIFT = 1 / (255 * STD), -MEAN / STD
TOP = 5


class Model:
    """A network and the names of its input and logits."""

    def __init__(self, path, threads):
        options = onnxruntime.SessionOptions()
        if threads:
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.output = self.session.get_outputs()[0].name

    def __call__(self, x):
        return self.session.run([self.output], {self.input: x})[0]


def prepare(file):
    image = Image.open(file)
    if image.mode != "RGB":
        image = image.convert("RGB")
    if image.size != SIZE:
        image = image.resize(SIZE, Image.Resampling.BILINEAR)
    x = np.asarray(image, np.float32) * SCALE + SHIFT
    return np.ascontiguousarray(x.transpose(2, 0, 1))[None]


def softmax(logits):
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def create_app(models):
    app = FastAPI()

    def find(name):
        if name not in models:
            raise HTTPException(404, f"There is no model {name}.")
        return models[name]

    @app.get("/ready")
    def ready():
        return {"ready": True}

    @app.post("/v1/models/{name}/predict")
    def predict(name: str, image: UploadFile = File(...)):
        model = find(name)
        try:
            x = prepare(image.file)
        except OSError as error:
            raise HTTPException(400, str(error)) from error
        probabilities = softmax(model(x))[0]
        top = np.argsort(-probabilities)[:TOP]
        ranked = [
            {"label": str(i), "index": int(i), "probability": float(probabilities[i])} for i in top
        ]
        return JSONResponse({"model": name, "predictions": [{**ranked[0], "top": ranked}]})

    @app.post("/v2/models/{name}/infer")
    async def infer(name: str, request: Request):
        model = find(name)
        body = await request.body()
        head = int(request.headers["inference-header-content-length"])

        def work():
            described = json.loads(body[:head])["inputs"][0]
            x = np.frombuffer(body, "<f4", offset=head).reshape(described["shape"])
            y = model(x)
            answer = json.dumps({
                "model_name": name,
                "outputs": [{
                    "name": model.output, "datatype": "FP32", "shape": list(y.shape),
                    "parameters": {"binary_data_size": y.nbytes},
                }],
            }).encode()
            return answer, y.tobytes()

        answer, data = await run_in_threadpool(work)
        return Response(
            answer + data,
            media_type="application/octet-stream",
            headers={"Inference-Header-Content-Length": str(len(answer))},
        )

    return app


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=0, help="of onnxruntime; 0: its own default")
    args = parser.parse_args()
    pairs = (model.split("=", 1) for model in args.models)
    models = {name: Model(path, args.threads) for name, path in pairs}
    # uvicorn takes uvloop and httptools by itself where they are installed.
    uvicorn.run(create_app(models), host="127.0.0.1", port=args.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
