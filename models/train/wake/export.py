"""export.py NET.pt OUT.onnx: the network as an ONNX graph that is run frame by frame.

Inputs: "features" [1, 40, 4] and "past0".."past7", what each convolution must remember, zeros at the start. Outputs: "score" [1, 1, 1]
(0..1) and "next0".."next7", to be given back as the past of the next frame."""
import sys

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from net import Wake


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
        """What was remembered, and x after it; the end of both is remembered for the next frame."""
        i = len(self.inputs)
        self.inputs.append(helper.make_tensor_value_info("past%d" % i, TensorProto.FLOAT, [1, channels, past]))
        self.outputs.append(helper.make_tensor_value_info("next%d" % i, TensorProto.FLOAT, [1, channels, past]))
        both = self.node("Concat", ["past%d" % i, x], axis=2)
        starts, ends, axes = (self.weight("%s%d" % (n, i), np.array([v], np.int64)) for n, v in (("from", -past), ("to", 1 << 30), ("axis", 2)))
        self.nodes.append(helper.make_node("Slice", [both, starts, ends, axes], ["next%d" % i]))
        return both

    def conv(self, x, weight, bias, **kw):
        self.n += 1
        kw = {"pads": [0, 0], "strides": [1], "dilations": [1], **kw}  # rten takes no defaults in one dimension
        return self.node("Conv", [x, self.weight("w%d" % self.n, weight.detach().numpy()), self.weight("b%d" % self.n, bias.detach().numpy())], **kw)


def graph(net):
    g = Graph()
    x = "features"
    for f in net.front:
        x = g.remembered(x, f.conv.in_channels, f.past)
        x = g.node("Relu", [g.conv(x, *f.folded(), strides=[2])])
    for b in net.blocks:
        both = g.remembered(x, b.time.conv.in_channels, b.time.past)
        y = g.conv(both, *b.time.folded(), group=b.time.conv.groups, dilations=list(b.time.conv.dilation))
        y = g.conv(g.node("Relu", [y]), *b.mix.folded())
        x = g.node("Relu", [g.node("Add", [x, y])])
    both = g.remembered(x, net.head.in_channels, 2)
    z = g.conv(both, net.head.weight, net.head.bias)
    g.nodes.append(helper.make_node("Sigmoid", [z], ["score"]))
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 40, 4])] + g.inputs
    outputs = [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 1, 1])] + g.outputs
    return helper.make_graph(g.nodes, "wake", inputs, outputs, g.weights)


def save(net, path):
    model = helper.make_model(graph(net.eval()), opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="hark")
    onnx.checker.check_model(model)
    onnx.save(model, path)


if __name__ == "__main__":
    net = Wake()
    net.load_state_dict(torch.load(sys.argv[1]))
    save(net, sys.argv[2])
