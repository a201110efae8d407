"""`kenpin-export keygen`, `sign` and `verify`: who wrote a bundle, and how a line knows."""

import argparse
from pathlib import Path

from edge_runtime.console import Parser, guarded

COMMANDS = ("keygen", "sign", "verify")
EXAMPLES = """\
examples:
  kenpin-export keygen plant
  kenpin-export sign part.onnx --key plant.key
  kenpin-export verify part.onnx --key plant.pub
then, in the station file:
  trusted_keys = ["plant.pub"]

exit status: 0 done, 2 a mistake in what was asked or a signature that does not hold (one line says which)
"""


def parser() -> argparse.ArgumentParser:
    """The arguments of all three."""
    p = Parser("kenpin-export", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True, metavar=f"{{{','.join(COMMANDS)}}}")

    keygen = commands.add_parser(
        "keygen",
        help="make a pair of keys",
        description="Make a pair of Ed25519 keys: NAME.key, which signs, and NAME.pub, which lines trust. NAME.key is "
        "not encrypted: whoever can read it can sign. Keep it where bundles are made, and nowhere else. Neither file "
        "is ever replaced.",
        epilog="example: kenpin-export keygen plant",
    )
    keygen.add_argument("name", type=_key_name, metavar="NAME", help="what the files begin with; may have a folder")

    sign = commands.add_parser(
        "sign",
        help="sign a bundle",
        description="Sign a bundle that proves itself on its golden vectors. The signature goes into FILE.onnx.sig, "
        "which must lie beside the bundle wherever that is copied; an older one is replaced.",
        epilog="example: kenpin-export sign part.onnx --key plant.key",
    )
    sign.add_argument("bundle", type=Path, metavar="FILE.onnx", help="a bundle written by kenpin-export")
    sign.add_argument("--key", type=Path, required=True, metavar="NAME.key", help="the private key")

    verify = commands.add_parser(
        "verify",
        help="check a bundle's signature",
        description="Check that a bundle is what the key's owner signed, as a line does that trusts the key.",
        epilog="example: kenpin-export verify part.onnx --key plant.pub",
    )
    verify.add_argument("bundle", type=Path, metavar="FILE.onnx", help="a bundle, with FILE.onnx.sig beside it")
    verify.add_argument("--key", type=Path, required=True, metavar="NAME.pub", help="the public key")
    return p


def main(argv: list[str]) -> int:
    """The command; `argv` begins with its name. Returns its exit status."""
    arguments = parser().parse_args(argv)
    return guarded("kenpin-export", "train", lambda: _command(arguments))


def _command(arguments: argparse.Namespace) -> int:
    """Do it, and say in one line what was done. What it needs is imported now: --help should not wait for it."""
    match arguments.command:
        case "keygen":
            from export.signing import keygen

            key, pub, name = keygen(arguments.name)
            print(
                f"{key} signs and is not encrypted, so keep it to yourself; {pub} is for the lines; fingerprint {name}"
            )
        case "sign":
            from edge_runtime.trust import fingerprint, signature_path
            from export.signing import read_private, sign

            private = read_private(arguments.key)
            info = sign(arguments.bundle, private).info
            out, name = signature_path(arguments.bundle), fingerprint(private.public_key())
            print(f"{out}: {info.name} {info.version} signed by the key {name[:16]}…")
        case "verify":
            from edge_runtime.bundle import read_bundle
            from edge_runtime.trust import check

            name = check(arguments.bundle, read_bundle(arguments.bundle), [arguments.key])
            print(f"{arguments.bundle}: signed by the key {name[:16]}… and unchanged")
    return 0


def _key_name(text: str) -> Path:
    path = Path(text)
    if text.endswith(("/", "\\")) or not path.name or path.name == "..":
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a key; expected one as plant")
    return path
