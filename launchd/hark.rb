# Homebrew formula. The release fills in the two places; `brew install --formula ./hark.rb` works from a checkout.
class Hark < Formula
  desc "Voice-first local assistant: on-device speech, one resident local model"
  homepage "https://github.com/hark/hark"
  url "{{url}}"
  sha256 "{{sha256}}"
  license "MIT"

  depends_on "cmake" => :build
  depends_on "rust" => :build
  depends_on :macos => :ventura

  def install
    system "cargo", "install", *std_cargo_args
    # Beside the program, where it looks for the models that it brings along.
    (share/"hark/models").install Dir["models/*.bin"], Dir["models/wake-*"]
    generate_completions_from_executable(bin/"hark", "completions")
    (buildpath/"hark.1").write Utils.safe_popen_read(bin/"hark", "man")
    man1.install "hark.1"
  end

  def caveats
    <<~TEXT
      Hark needs the microphone. macOS gives it to signed apps only:
        make app in a checkout builds and signs Hark.app
      or, from a terminal that may use the microphone:
        hark service install
    TEXT
  end

  test do
    system bin/"hark", "demo", "--out", testpath/"answer.wav"
    assert_path_exists testpath/"answer.wav"
  end
end
