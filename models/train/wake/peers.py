"""peers.py MODELS SPEECH: openWakeWord's and microWakeWord's published models on recordings of people, judged as `hark bench wake` judges
ours: a phrase is missed where its best score stays below, rises that are a second apart are false accepts, 0.3 s of silence before and
0.6 s after each phrase. MODELS and SPEECH are folders; needs onnxruntime, ai-edge-litert and pymicro-features from PyPI. Their models are not
ours to ship (openWakeWord's are CC BY-NC-SA), so this only measures."""
import csv
import os
import sys

import numpy as np
import soundfile

RATE = 16000


class OpenWakeWord:
    step = .08

    def __init__(self, folder, name):
        import onnxruntime as ort
        o = ort.SessionOptions()
        o.intra_op_num_threads = o.inter_op_num_threads = 1
        self.mel, self.embed, self.head = (ort.InferenceSession(os.path.join(folder, n), o) for n in ("melspectrogram.onnx", "embedding_model.onnx", name))
        self.inputs = [s.get_inputs()[0].name for s in (self.mel, self.embed, self.head)]

    def scores(self, x):
        x = np.pad(x, (2 * RATE, 0)) * 32767  # it needs two seconds before it can say anything
        m = np.squeeze(self.mel.run(None, {self.inputs[0]: x[None].astype(np.float32)})[0]) / 10 + 2
        w = np.stack([m[i:i + 76] for i in range(0, len(m) - 75, 8)])[..., None].astype(np.float32)
        e = np.concatenate([np.reshape(self.embed.run(None, {self.inputs[1]: w[i:i + 64]})[0], (-1, 96)) for i in range(0, len(w), 64)])
        return np.array([float(np.squeeze(self.head.run(None, {self.inputs[2]: e[None, i:i + 16]})[0])) for i in range(len(e) - 15)])


class MicroWakeWord:
    step = .03

    def __init__(self, folder, name):
        from ai_edge_litert.interpreter import Interpreter
        self.path = os.path.join(folder, name)
        self.make = lambda: Interpreter(self.path, num_threads=1)

    def scores(self, x):
        from pymicro_features import MicroFrontend
        f, audio, rows = MicroFrontend(), (np.clip(x, -1, 1) * 32767).astype("<i2").tobytes(), []
        at = 0
        while at + 320 <= len(audio):
            out = f.process_samples(audio[at:at + 320])
            at += out.samples_read * 2
            if out.features:
                rows.append(out.features)
        net = self.make()
        net.allocate_tensors()
        i, o = net.get_input_details()[0], net.get_output_details()[0]
        stride = i["shape"][1]
        scale, zero = i["quantization"]
        y, out = np.array(rows, np.float32), []
        for k in range(0, len(y) - stride + 1, stride):
            q = np.clip(np.round(y[k:k + stride] / scale + zero), -128, 127).astype(np.int8)
            net.set_tensor(i["index"], q.reshape(i["shape"]))
            net.invoke()
            out.append(float(net.get_tensor(o["index"]).ravel()[0]) / 255)
        window = 5
        return np.convolve(out, np.full(window, 1 / window))[:len(out)]


def accepts(scores, threshold, step):
    count, deaf = 0, 0
    for s in scores:
        if s >= threshold:
            count += deaf == 0
            deaf = int(1 / step)
        elif deaf:
            deaf -= 1
    return count


def main():
    models, speech = sys.argv[1:3]
    rows = [r for r in csv.DictReader(open(os.path.join(speech, "manifest.csv"))) if r["category"] != "rir"]
    for kind, folder, name, phrase in ((OpenWakeWord, "openwakeword", "alexa_v0.1.onnx", "alexa"), (OpenWakeWord, "openwakeword", "hey_jarvis_v0.1.onnx", "jarvis"),
                                       (MicroWakeWord, "microwakeword", "alexa.tflite", "alexa"), (MicroWakeWord, "microwakeword", "hey_jarvis.tflite", "jarvis")):
        m = kind(os.path.join(models, folder), name)
        yes, no, hours = [], [], 0
        for r in rows:
            said = phrase in r["text"].lower().split()
            x, rate = soundfile.read(os.path.join(speech, r["file"]), dtype="float32")
            x = np.pad(x, (4800, 9600)) if said else x
            s = m.scores(x)
            if said:
                yes.append(s.max() if len(s) else 0)
            else:
                no.append(s)
                hours += len(x) / RATE / 3600
        yes = np.array(yes)
        line = []
        for t in (.5, .7, .9, .95, .99):
            line.append("%g: missed %d, false %d" % (t, (yes < t).sum(), sum(accepts(s, t, m.step) for s in no)))
        t = max([s.max() for s in no if len(s)]) + 1e-6
        print("%s %s: %d with, %.2f h without; %s; no false accept at %.3f: missed %d (%.1f %%)" % (folder, name, len(yes), hours, "; ".join(line), t, (yes < t).sum(), 100 * (yes < t).mean()), flush=True)


if __name__ == "__main__":
    main()
