"""graph.py NET.pt OUT.onnx: the network as an ONNX graph that is run as the sound comes in, any number of frames at a time.

Inputs: "features" [1, 40, 4 x frames] and "past0".."past8", what each convolution must remember, zeros at the start. Outputs: "score"
[1, 1, frames] (0..1) and "next0".."next8", to be given back as the past of the next frames."""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import net as nets


class Graph:
    def __init__(self):
        self.nodes, self.weights, self.inputs, self.outputs, self.n = [], [], [], [], 0

    def weight(self, name, x):
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(x), name))
        return name

    def node(self, op, inputs, **kw):
        self.n += 1
        out = "x%d" % self.n
        self.nodes.append(helper.make_node(op, inputs, [out], **kw))
        return out

    def remembered(self, x, channels, past):
        """What was remembered, and x after it; the end of both is remembered for what comes."""
        i = len(self.inputs)
        self.inputs.append(helper.make_tensor_value_info("past%d" % i, TensorProto.FLOAT, [1, channels, past]))
        self.outputs.append(helper.make_tensor_value_info("next%d" % i, TensorProto.FLOAT, [1, channels, past]))
        both = self.node("Concat", ["past%d" % i, x], axis=2)
        starts, ends, axes = (self.weight("%s%d" % (n, i), np.array([v], np.int64)) for n, v in (("from", -past), ("to", 1 << 30), ("axis", 2)))
        self.nodes.append(helper.make_node("Slice", [both, starts, ends, axes], ["next%d" % i]))
        return both

    def conv(self, x, linear, reach, **kw):
        """The matrix over `reach` stacked frames as a convolution."""
        self.n += 1
        w = linear.weight.detach().numpy()
        w = w.reshape(w.shape[0], reach, -1).transpose(0, 2, 1)
        kw = {"pads": [0, 0], "strides": [1], "dilations": [1], **kw}  # rten takes no defaults in one dimension
        return self.node("Conv", [x, self.weight("w%d" % self.n, w), self.weight("b%d" % self.n, linear.bias.detach().numpy())], **kw)

    def mean3(self, x, linear):
        """One matrix over the mean of three frames."""
        w = linear.weight.detach().numpy()[:, :, None].repeat(3, 2) / 3
        return self.node("Conv", [x, self.weight("head", w), self.weight("head_b", linear.bias.detach().numpy())], pads=[0, 0], strides=[1], dilations=[1])


def graph(net):
    g = Graph()
    front = net.trunk.front
    bands, width = front.in_features // nets.STACK, front.out_features
    x = g.conv(g.remembered("features", bands, nets.STACK - 4), front, nets.STACK, strides=[4])
    for b, d in zip([*net.trunk.blocks, *net.blocks], nets.TRUNK + nets.PHRASE):
        both = g.remembered(g.node("Relu", [x]), width, 2 * d)
        x = g.node("Add", [x, g.conv(both, b, 3, dilations=[d])])
    z = g.mean3(g.remembered(g.node("Relu", [x]), width, 2), net.head)
    g.nodes.append(helper.make_node("Sigmoid", [z], ["score"]))
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, bands, "features"])] + g.inputs
    outputs = [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 1, "frames"])] + g.outputs
    return helper.make_graph(g.nodes, "wake", inputs, outputs, g.weights)


def save(net, path):
    model = helper.make_model(graph(net.eval()), opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="hark")
    onnx.checker.check_model(model)
    onnx.save(model, path)


if __name__ == "__main__":
    save(nets.load(sys.argv[1]), sys.argv[2])
