"""Libraries as small as can be, in wheels on this disk."""

from __future__ import annotations

import zipfile


def make_wheel(folder, name, version, requires=(), source=""):
    """`NAME-VERSION-py3-none-any.whl` with one module that knows its `VERSION`."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    told = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    parts = {
        f"{name}/__init__.py": f"VERSION = {version!r}\n{source}",
        f"{info}/METADATA": told + "".join(f"Requires-Dist: {each}\n" for each in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in parts.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*parts, f"{info}/RECORD"]))
