"""Damage to `.h5ad` files, as disks, networks, other programs and attackers do it; the seed decides which."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

Rng = np.random.Generator
_ODD_VALUES: tuple[object, ...] = (
    *("", "martian", "array", "csc_matrix", "dataframe", "categorical", "0.0.0", "NaN", "1e999", "\u2603"),
    *(-1, 2**62, 1.5, float("nan"), b"\xff\xfe", True),
    *(np.array([-1, 3]), np.array([10**12, 60]), np.array([2.5, 1.5]), np.array([], dtype="i8"), np.array([[1]])),
)


def damage(source: Path, target: Path, seed: int) -> str:
    """Write a damaged copy of a file, and return what was done to it."""
    rng = np.random.default_rng(seed)
    shutil.copyfile(source, target)
    kind = _KINDS[seed % len(_KINDS)]
    return f"{kind.__name__}: {kind(target, rng)}"


def _flip_bytes(path: Path, rng: Rng) -> str:
    content = bytearray(path.read_bytes())
    places = rng.integers(0, len(content), int(rng.choice([1, 8, 64, 512])))
    for place in places:
        content[place] ^= int(rng.integers(1, 256))
    path.write_bytes(content)
    return f"{len(places)} bytes"


def _flip_header(path: Path, rng: Rng) -> str:
    content = bytearray(path.read_bytes())
    places = rng.integers(0, 2048, int(rng.choice([1, 4])))
    for place in places:
        content[place] = int(rng.choice([0, 1, 127, 255]))
    path.write_bytes(content)
    return f"at {places.tolist()}"


def _truncate(path: Path, rng: Rng) -> str:
    size = int(path.stat().st_size * rng.choice([rng.random(), 0.001, 0.999]))
    with path.open("r+b") as file:
        file.truncate(size)
    return f"to {size} bytes"


def _overwrite(path: Path, rng: Rng) -> str:
    start, length = int(rng.integers(path.stat().st_size)), int(rng.choice([16, 512, 8192]))
    with path.open("r+b") as file:
        file.seek(start)
        file.write(rng.bytes(length) if rng.random() < 0.5 else bytes(length))
    return f"{length} bytes at {start}"


def _surround(path: Path, rng: Rng) -> str:
    before, after = rng.bytes(int(rng.choice([0, 1, 512]))), rng.bytes(int(rng.choice([1, 512, 10_000])))
    path.write_bytes(before + path.read_bytes() + after)
    return f"{len(before)} bytes before, {len(after)} after"


def _drop(path: Path, rng: Rng) -> str:
    with h5py.File(path, "r+") as file:
        name = _any_name(file, rng)
        del file[name]
    return name


def _swap(path: Path, rng: Rng) -> str:
    """One element takes the place of another."""
    with h5py.File(path, "r+") as file:
        one, other = _any_name(file, rng), _any_name(file, rng)
        file.copy(file[one], file, "swapped")
        if other in file:
            del file[other]
        file.move("swapped", other)
    return f"{one} becomes {other}"


def _replace(path: Path, rng: Rng) -> str:
    """Other values, types and shapes under the attributes of the old ones."""
    with h5py.File(path, "r+") as file:
        name = _any_name(file, rng)
        old = file[name]
        attributes, size = dict(old.attrs), getattr(old, "size", 3) or 3
        del file[name]
        values = [
            lambda: np.full(size, np.nan),
            lambda: rng.integers(-5, 5, size),
            lambda: np.array([f"{value}" for value in range(size)], dtype=object).astype(h5py.string_dtype()),
            lambda: np.array([b"\xff\xfe"] * size),
            lambda: np.zeros((size, 0, 2)),
            lambda: np.float64("nan"),
            lambda: "text",
            lambda: np.zeros(size, dtype=[("a", "i4"), ("b", "S3")]),
            lambda: np.ones(size, dtype=complex),
            lambda: h5py.Empty("f4"),
            lambda: np.arange(size + 1, dtype=">u8"),
            lambda: np.ones(size, dtype=bool),
        ]
        number = int(rng.integers(len(values)))
        file[name] = values[number]()
        for key, value in attributes.items():
            file[name].attrs[key] = value
    return f"{name} by number {number}"


def _alter_values(path: Path, rng: Rng) -> str:
    with h5py.File(path, "r+") as file:
        names = [name for name in _names(file) if isinstance(file[name], h5py.Dataset) and file[name].size]
        name = str(rng.choice(names))
        values = file[name][()]
        flat = np.array(values).ravel()
        place = int(rng.integers(flat.size))
        if flat.dtype.kind == "f":
            flat[place] = rng.choice([np.nan, np.inf, -1.0, 1e38, 0.5])
        elif flat.dtype.kind in "iu":
            flat[place] = rng.choice([0, 100, np.iinfo(flat.dtype).max, max(np.iinfo(flat.dtype).min, -1)])
        elif flat.dtype.kind == "O":
            flat[place] = rng.choice([b"", b"\xff", flat[0], b"nan", b"x" * 100_000])
        file[name][()] = flat.reshape(np.shape(values))
    return f"{name}[{place}]"


def _alter_attribute(path: Path, rng: Rng) -> str:
    with h5py.File(path, "r+") as file:
        names = [name for name in ["/", *_names(file)] if file[name].attrs]
        name = str(rng.choice(names))
        key = str(rng.choice(list(file[name].attrs)))
        del file[name].attrs[key]
        value = _ODD_VALUES[int(rng.integers(len(_ODD_VALUES)))]
        if rng.random() < 0.8:
            file[name].attrs[key] = value
    return f"{name}.{key} = {value!r}"


def _refer(path: Path, rng: Rng) -> str:
    with h5py.File(path, "r+") as file:
        name = _any_name(file, rng)
        attributes = dict(file[name].attrs)
        del file[name]
        if rng.random() < 0.5:
            file[name] = np.array([file.ref, file["/"].ref], dtype=h5py.ref_dtype)
        else:
            file[name] = file.ref
        file[name].attrs.update(attributes)
    return name


def _link(path: Path, rng: Rng) -> str:
    with h5py.File(path, "r+") as file:
        name = _any_name(file, rng)
        parent = file[name].parent.name
        del file[name]
        links: list[tuple[str, Callable[[], object]]] = [
            ("itself", lambda: h5py.SoftLink(f"/{name}")),
            ("its parent", lambda: file[parent]),
            ("the root", lambda: file["/"]),
            ("nothing", lambda: h5py.SoftLink("/absent")),
            ("another file", lambda: h5py.ExternalLink("absent.h5", "/obs")),
            ("this file", lambda: h5py.ExternalLink(path.name, "/")),
        ]
        what, make = links[int(rng.integers(len(links)))]
        file[name] = make()
    return f"{name} leads to {what}"


def _fan_out(path: Path, rng: Rng) -> str:
    """Groups that hold the next one many times: small on disk, without end in memory."""
    with h5py.File(path, "r+") as file:
        slot = str(rng.choice(["uns", "obsm", "layers"]))
        group = file.create_group("last")
        group["value"] = 1.0
        for _ in range(40):
            above = file.create_group(None)
            for number in range(10):
                above[str(number)] = group
            group = above
        file[slot]["many"] = group
        del file["last"]
    return slot


def _declare_more(path: Path, rng: Rng) -> str:
    """Shapes that no file of this size can hold."""
    with h5py.File(path, "r+") as file:
        names = [name for name in _names(file) if isinstance(file[name], h5py.Dataset) and file[name].shape]
        name = str(rng.choice(names))
        dtype, attributes, shape = file[name].dtype, dict(file[name].attrs), list(file[name].shape)
        del file[name]
        shape[int(rng.integers(len(shape)))] = int(rng.choice([10**9, 10**12, 2**55]))
        chunks = tuple(min(length, 1000) or 1 for length in shape)
        file.create_dataset(name, shape=tuple(shape), dtype=dtype, chunks=chunks)
        file[name].attrs.update(attributes)
        if rng.random() < 0.3:
            file["X"].attrs["shape"] = [10**12, file["X"].attrs["shape"][1]]
    return f"{name}: {shape}"


def _nest(path: Path, rng: Rng) -> str:
    with h5py.File(path, "r+") as file:
        group, depth = file["uns"], int(rng.choice([20, 500, 3000]))
        for _ in range(depth):
            group = group.create_group("g")
    return f"{depth} levels"


def _names(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visit(names.append)
    return names


def _any_name(file: h5py.File, rng: Rng) -> str:
    return str(rng.choice(_names(file)))


_KINDS: tuple[Callable[[Path, Rng], str], ...] = (
    *(_flip_bytes, _flip_header, _truncate, _overwrite, _surround, _drop, _swap, _replace, _alter_values),
    *(_alter_attribute, _refer, _link, _fan_out, _declare_more, _nest),
)
