"""Reads what the pipeline needs to know of a WebAssembly binary: types, imports, exports, the
active element segments, data, code and the dylink.0 section of Emscripten's dynamic linking.

Format: WebAssembly core specification 2.0, section 5 (binary format); dylink.0: the tool
conventions' DynamicLinking.md.
"""

import dataclasses
import hashlib
import pathlib

VALUE_TYPES = {0x7F: "i", 0x7E: "j", 0x7D: "f", 0x7C: "d"}
EXTERNAL_KINDS = ("func", "table", "memory", "global", "tag")


class WasmError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class FuncType:
    params: str  # one letter a value, as in VALUE_TYPES
    results: str

    @property
    def signature(self) -> str:
        """A C identifier part: parameters, '_', results; 'v' stands for none."""
        return f"{self.params or 'v'}_{self.results or 'v'}"


@dataclasses.dataclass
class Import:
    module: str
    name: str
    kind: str
    type: FuncType | None = None


@dataclasses.dataclass
class Export:
    name: str
    kind: str
    index: int


class Reader:
    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def leb(self) -> int:
        result = shift = 0
        while True:
            b = self.byte()
            result |= (b & 0x7F) << shift
            shift += 7
            if not b & 0x80:
                return result

    def signed_leb(self) -> int:
        result = shift = 0
        while True:
            b = self.byte()
            result |= (b & 0x7F) << shift
            shift += 7
            if not b & 0x80:
                return result - (1 << shift) if b & 0x40 else result

    def bytes(self, n: int) -> bytes:
        self.at += n
        return self.data[self.at - n:self.at]

    def name(self) -> str:
        return self.bytes(self.leb()).decode()

    def limits(self) -> tuple[int, int | None]:
        flags = self.byte()
        low = self.leb()
        return low, self.leb() if flags & 1 else None


class Module:
    def __init__(self, path: pathlib.Path):
        data = path.read_bytes()
        if data[:8] != b"\0asm\1\0\0\0":
            raise WasmError(f"{path}: not a WebAssembly 1.0 module")
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.types: list[FuncType] = []
        self.imports: list[Import] = []
        self.functions: list[FuncType] = []  # imported ones first
        self.exports: list[Export] = []
        self.elements: dict[int, int] = {}  # function index -> offset from the segment's base
        self.element_functions: list[int] = []  # by that offset
        self.element_base: int | None = None  # None: the value of a global
        self.globals: list[int | None] = []  # what i32.const initialises them to; imported ones first
        self.data: list[tuple[int, bytes]] = []  # address and content of what goes to a fixed address
        self.code: list[bytes] = []  # the bodies of the functions that are not imported
        self.imported_memory: tuple[int, int | None] | None = None
        self.has_dylink = False
        self.dylink = {"memory_size": 0, "memory_align": 0, "table_size": 0, "table_align": 0,
                       "needed": []}
        reader = Reader(data)
        reader.at = 8
        while reader.at < len(data):
            section = reader.byte()
            content = Reader(reader.bytes(reader.leb()))
            if section == 0 and content.name() == "dylink.0":
                self._dylink(content)
            elif section == 1:
                self._types(content)
            elif section == 2:
                self._imports(content)
            elif section == 3:
                self.functions += [self.types[content.leb()] for _ in range(content.leb())]
            elif section == 6:
                self._globals(content)
            elif section == 7:
                for _ in range(content.leb()):
                    name = content.name()
                    kind = EXTERNAL_KINDS[content.byte()]
                    self.exports.append(Export(name, kind, content.leb()))
            elif section == 9:
                self._elements(content)
            elif section == 10:
                self.code = [content.bytes(content.leb()) for _ in range(content.leb())]
            elif section == 11:
                self._data(content)

    def address_of(self, content: bytes) -> int | None:
        """Where in memory the module puts data that begins with or holds `content`; None: nowhere."""
        for address, data in self.data:
            if content in data:
                return address + data.index(content)
        return None

    @property
    def is_side_module(self) -> bool:
        """Whether it lives in another module's memory. A program may have a dylink.0 section,
        too."""
        imported = {entry.kind for entry in self.imports}
        return "memory" in imported and all(e.name != "__main_argc_argv" for e in self.exports)

    def got_imports(self) -> list[Import]:
        """The addresses of data and functions that a loader looks up."""
        return [entry for entry in self.imports if entry.module.startswith("GOT.")]

    def _types(self, r: Reader) -> None:
        for _ in range(r.leb()):
            if r.byte() != 0x60:
                raise WasmError("only function types are supported")
            lists = ["".join(VALUE_TYPES[r.byte()] for _ in range(r.leb())) for _ in range(2)]
            self.types.append(FuncType(*lists))

    def _imports(self, r: Reader) -> None:
        for _ in range(r.leb()):
            module, name = r.name(), r.name()
            kind = EXTERNAL_KINDS[r.byte()]
            entry = Import(module, name, kind)
            if kind == "func":
                entry.type = self.types[r.leb()]
                self.functions.append(entry.type)
            elif kind == "table":
                r.byte()
                r.limits()
            elif kind == "memory":
                self.imported_memory = r.limits()
            elif kind == "global":
                r.byte()
                r.byte()
                self.globals.append(None)
            else:
                raise WasmError(f"import of kind {kind} is not supported")
            self.imports.append(entry)

    def _globals(self, r: Reader) -> None:
        for _ in range(r.leb()):
            r.byte()
            r.byte()
            opcode = r.byte()
            if opcode == 0x41:  # i32.const
                self.globals.append(r.signed_leb())
            elif opcode == 0x23:  # global.get
                r.leb()
                self.globals.append(None)
            else:
                raise WasmError(f"global opcode {opcode:#x} is not supported")
            if r.byte() != 0x0B:
                raise WasmError("a global with a simple value is supported")

    def _elements(self, r: Reader) -> None:
        for _ in range(r.leb()):
            flags = r.leb()
            if flags != 0:
                raise WasmError(f"element segment of kind {flags} is not supported")
            opcode = r.byte()
            if opcode == 0x41:  # i32.const
                self.element_base = r.signed_leb()
            elif opcode == 0x23:  # global.get
                r.leb()
            else:
                raise WasmError(f"element offset opcode {opcode:#x} is not supported")
            if r.byte() != 0x0B or self.elements:
                raise WasmError("one element segment with a simple offset is supported")
            self.element_functions = [r.leb() for _ in range(r.leb())]
            for offset, function in enumerate(self.element_functions):
                # The first entry wins: it is the function's address for the guest itself.
                self.elements.setdefault(function, offset)

    def _data(self, r: Reader) -> None:
        for _ in range(r.leb()):
            flags = r.leb()
            if flags > 1:
                raise WasmError(f"data segment of kind {flags} is not supported")
            address = None
            if flags == 0:  # 1 is passive: without an address
                opcode = r.byte()
                value = r.signed_leb()  # of i32.const, or the index of a global
                if opcode not in (0x41, 0x23) or r.byte() != 0x0B:
                    raise WasmError(f"data offset opcode {opcode:#x} is not supported")
                address = value if opcode == 0x41 else None
            content = r.bytes(r.leb())
            if address is not None:
                self.data.append((address, content))

    def _dylink(self, r: Reader) -> None:
        self.has_dylink = True
        while r.at < len(r.data):
            kind = r.byte()
            sub = Reader(r.bytes(r.leb()))
            if kind == 1:
                for key in ("memory_size", "memory_align", "table_size", "table_align"):
                    self.dylink[key] = sub.leb()
            elif kind == 2:
                self.dylink["needed"] = [sub.name() for _ in range(sub.leb())]
