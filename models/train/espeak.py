"""espeak-ng in this process (ctypes): a clip costs a few milliseconds, where starting the program costs more than the speech."""
import ctypes as ct
import numpy as np

_lib = None
_out = []
_CB = ct.CFUNCTYPE(ct.c_int, ct.POINTER(ct.c_short), ct.c_int, ct.c_void_p)
RATE = 22050


def _collect(wav, n, events):
    if wav and n > 0:
        _out.append(np.ctypeslib.as_array(wav, (n,)).copy())
    return 0


_cb = _CB(_collect)


def lib():
    global _lib
    if _lib is None:
        _lib = ct.CDLL("libespeak-ng.so.1")
        _lib.espeak_TextToPhonemes.restype = ct.c_char_p
        # 2: synchronous, samples through the callback
        if _lib.espeak_Initialize(2, 0, None, 0) != RATE:
            raise RuntimeError("espeak-ng: unexpected sample rate")
        _lib.espeak_SetSynthCallback(_cb)
    return _lib


def say(text, voice="en-us", speed=175, pitch=50, spread=50):
    """Samples (int16, 22050 Hz) as `espeak-ng -v voice -s speed -p pitch` makes them."""
    e = lib()
    if e.espeak_SetVoiceByName(voice.encode()):
        raise RuntimeError("espeak-ng has no voice " + voice)
    for param, value in ((1, speed), (2, 90), (3, pitch), (4, spread)):
        e.espeak_SetParameter(param, int(value), 0)
    _out.clear()
    b = text.encode() + b"\0"
    e.espeak_Synth(b, ct.c_size_t(len(b)), 0, 1, 0, 1, None, None)
    e.espeak_Synchronize()
    return np.concatenate(_out) if _out else np.zeros(0, np.int16)


def phonemes(word):
    """The phonemes of one word in running speech ("the" stands before it so that it is not spelled or stressed as a title)."""
    e = lib()
    e.espeak_SetVoiceByName(b"en-us")
    text = ct.c_char_p(("the " + word).encode())
    out = e.espeak_TextToPhonemes(ct.byref(text), 1, ord("_") << 8).decode()
    rest = out.strip().split(" ", 1)[1].replace(" ", "_").split("_")
    return [p for p in (q.strip("',%=|;:") for q in rest) if p]
