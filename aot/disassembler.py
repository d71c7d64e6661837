"""Reads the code of single functions: what they call, load, store and use as constants.

Addresses and arguments are followed as far as they are constants, values of variables at constant
addresses, or results of calls, and only where each way to an instruction gives the same.
"""

import functools
import re
import typing

import wasm


class Loaded(typing.NamedTuple):
    """The 32-bit value of the variable at `address`."""
    address: int


class Result(typing.NamedTuple):
    """What a call returned."""
    function: int | None
    arguments: tuple


Value = int | Loaded | Result | None  # None: not known


class Constant(typing.NamedTuple):
    value: int


class Load(typing.NamedTuple):
    base: Value
    offset: int
    size: int  # bytes


class Store(typing.NamedTuple):
    base: Value
    offset: int
    size: int
    value: Value


class Call(typing.NamedTuple):
    function: int | None  # None: through the table, and not known
    arguments: tuple


class Control(typing.NamedTuple):
    kind: str  # loop, if, else, end, br_if, drop, or other
    depth: int = 0  # of br_if


Step = Constant | Load | Store | Call | Control

# Opcodes by what they take from the stack; each leaves one value.
UNARY = {0x45, 0x50, *range(0x67, 0x6A), *range(0x79, 0x7C), *range(0x8B, 0x92),
         *range(0x99, 0xA0), *range(0xA7, 0xC5)}
BINARY = {*range(0x46, 0x50), *range(0x51, 0x67), *range(0x6A, 0x79), *range(0x7C, 0x8B),
          *range(0x92, 0x99), *range(0xA0, 0xA7)}
LOADS = dict(zip(range(0x28, 0x36), (4, 8, 4, 8, 1, 1, 2, 2, 1, 1, 2, 2, 4, 4), strict=True))
STORES = dict(zip(range(0x36, 0x3F), (4, 8, 4, 8, 1, 2, 1, 2, 4), strict=True))
I32_LOAD, I32_CONST, I32_ADD, CALL = 0x28, 0x41, 0x6A, 0x10
NO_BLOCK_TYPE = -64


class _Frame:
    def __init__(self, height: int, inputs: int, results: int):
        self.height, self.inputs, self.results = height, inputs, results
        self.assigned: set[int] = set()  # locals that get another value within


class _Decoder:
    def __init__(self, module: "Disassembler", body: bytes):
        self.owner, self.module = module, module.module
        self.reader = wasm.Reader(body)
        self.end = len(body)
        self.stack: list[Value] = []
        self.frames = [_Frame(0, 0, 0)]
        self.locals: dict[int, Value] = {}
        self.steps: list[Step] = []

    def pop(self, count: int = 1) -> list[Value]:
        height = self.frames[-1].height
        # Below it lies what code that is never reached takes.
        return [self.stack.pop() if len(self.stack) > height else None for _ in range(count)][::-1]

    def push(self, count: int) -> None:
        self.stack += [None] * count

    def leave(self) -> None:
        del self.stack[self.frames[-1].height:]

    def forget(self, assigned: set[int]) -> None:
        for index in assigned:
            self.locals.pop(index, None)

    def decode(self) -> list[Step]:
        r = self.reader
        for _ in range(r.leb()):
            r.leb()
            r.byte()
        while r.at < self.end:
            self.step(r.byte())
        return self.steps

    def step(self, opcode: int) -> None:
        r, steps = self.reader, self.steps
        if opcode == 0x20:
            self.stack.append(self.locals.get(r.leb()))
        elif opcode in (0x21, 0x22):
            index, (value,) = r.leb(), self.pop()
            self.locals[index] = value
            self.frames[-1].assigned.add(index)
            if opcode == 0x22:
                self.stack.append(value)
        elif opcode == I32_CONST:
            value = r.signed_leb()
            self.stack.append(value)
            steps.append(Constant(value))
        elif opcode in BINARY:
            a, b = self.pop(2)
            known = opcode == I32_ADD and isinstance(a, int) and isinstance(b, int)
            self.stack.append(a + b if known else None)
        elif opcode in UNARY:
            self.pop()
            self.push(1)
        elif opcode in LOADS:
            r.leb()
            offset, (base,) = r.leb(), self.pop()
            steps.append(Load(base, offset, LOADS[opcode]))
            known = opcode == I32_LOAD and isinstance(base, int)
            self.stack.append(Loaded(base + offset) if known else None)
        elif opcode in STORES:
            r.leb()
            offset, (base, value) = r.leb(), self.pop(2)
            steps.append(Store(base, offset, STORES[opcode], value))
        elif opcode == CALL:
            index = r.leb()
            self.call(index, self.module.functions[index])
        elif opcode == 0x11:
            type_ = self.module.types[r.leb()]
            r.leb()
            (target,) = self.pop()
            self.call(self.owner.table.get(target) if isinstance(target, int) else None, type_)
        elif opcode in (0x02, 0x03, 0x04):
            self.block(opcode)
        elif opcode == 0x05:
            steps.append(Control("else"))
            frame = self.frames[-1]
            self.leave()
            self.forget(frame.assigned)
            self.push(frame.inputs)
        elif opcode == 0x0B:
            steps.append(Control("end"))
            self.leave()
            frame = self.frames.pop()
            if self.frames:
                self.forget(frame.assigned)
                self.frames[-1].assigned |= frame.assigned
                self.push(frame.results)
            else:
                r.at = self.end
        elif opcode == 0x0D:
            steps.append(Control("br_if", r.leb()))
            self.pop()
        elif opcode in (0x00, 0x0C, 0x0E, 0x0F):
            for _ in range({0x0C: 1, 0x0E: r.leb() + 1 if opcode == 0x0E else 0}.get(opcode, 0)):
                r.leb()
            steps.append(Control("other"))
            self.leave()
        elif opcode == 0x23:
            r.leb()
            self.push(1)
        elif opcode == 0x24:
            r.leb()
            self.pop()
        elif opcode == 0x42:
            r.signed_leb()
            self.push(1)
        elif opcode in (0x43, 0x44):
            r.bytes(4 if opcode == 0x43 else 8)
            self.push(1)
        elif opcode == 0x1A:
            self.pop()
            steps.append(Control("drop"))
        elif opcode in (0x1B, 0x1C):
            if opcode == 0x1C:
                r.bytes(r.leb())
            self.pop(3)
            self.push(1)
        elif opcode == 0x3F:
            r.byte()
            self.push(1)
        elif opcode == 0x40:
            r.byte()
            self.pop()
            self.push(1)
        elif opcode == 0xFC:
            self.prefixed(r.leb())
        elif opcode != 0x01:
            raise wasm.WasmError(f"opcode {opcode:#x} is not supported")

    def prefixed(self, opcode: int) -> None:
        if opcode <= 7:  # truncations
            self.pop()
            self.push(1)
        elif opcode == 9:  # data.drop
            self.reader.leb()
        elif opcode in (8, 10, 11):  # memory.init, memory.copy, memory.fill
            for _ in range(1 if opcode == 11 else 2):
                self.reader.leb()
            self.pop(3)
            self.steps.append(Control("other"))
        else:
            raise wasm.WasmError(f"opcode 0xfc {opcode:#x} is not supported")

    def block(self, opcode: int) -> None:
        type_ = self.reader.signed_leb()
        if type_ >= 0:
            inputs = len(self.module.types[type_].params)
            results = len(self.module.types[type_].results)
        else:
            inputs, results = 0, int(type_ != NO_BLOCK_TYPE)
        if opcode == 0x04:
            self.pop()
            self.steps.append(Control("if"))
        self.pop(inputs)
        self.frames.append(_Frame(len(self.stack), inputs, results))
        self.push(inputs)
        if opcode == 0x03:
            # What the loop's end assigns is not known yet.
            self.locals.clear()
            self.steps.append(Control("loop"))

    def call(self, function: int | None, type_: wasm.FuncType) -> None:
        arguments = tuple(self.pop(len(type_.params)))
        if function in self.owner.invokes and isinstance(arguments[0], int):
            function, arguments = self.owner.table.get(arguments[0]), arguments[1:]
        self.steps.append(Call(function, arguments))
        self.stack += [Result(function, arguments)] * len(type_.results)


def encode_unsigned(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def encode_signed(value: int) -> bytes:
    out = bytearray()
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value & 0x7F])


# i32.load, drop: an address of four bytes, an offset.
DROPPED_LOAD = re.compile(rb"\x28\x02[\x80-\xff]*[\x00-\x7f]\x1a", re.S)


def _loops(code: list[Step]) -> list[list[Step]]:
    """What stands in loops that hold no other block."""
    loops, start = [], None
    for at, step in enumerate(code):
        if isinstance(step, Control) and step.kind in ("loop", "if", "end"):
            if step.kind == "end" and start is not None:
                loops.append(code[start:at])
            start = at + 1 if step.kind == "loop" else None
    return loops


def _wait(loop: list[Step]) -> int | None:
    """The offset of the flag if the loop waits for a semaphore, else None."""
    if any(isinstance(step, Call | Store) or step == Control("other") for step in loop):
        return None
    if len(loop) < 2 or loop[-1] != Control("br_if", 0) or Control("drop") not in loop:
        return None
    flag = loop[-2]
    return flag.offset if isinstance(flag, Load) and flag.size == 1 else None


class Disassembler:
    def __init__(self, module: wasm.Module):
        self.module = module
        self.imported = len(module.functions) - len(module.code)
        imports = [i for i in module.imports if i.kind == "func"]
        self.invokes = {index for index, entry in enumerate(imports)
                        if entry.name.startswith("invoke_")}
        self.table = dict(enumerate(module.element_functions, module.element_base or 0))  # by index

    @functools.cache
    def code(self, function: int) -> list[Step]:
        if function < self.imported:
            return []
        return _Decoder(self, self.module.code[function - self.imported]).decode()

    def _containing(self, opcode: int, operand: bytes) -> list[int]:
        """Functions whose bytes have such an instruction, perhaps only by chance."""
        instruction = bytes([opcode]) + operand
        return [index for index, body in enumerate(self.module.code, self.imported)
                if instruction in body]

    @functools.cache
    def users(self, constant: int) -> set[int]:
        """The functions that use the constant."""
        return {f for f in self._containing(I32_CONST, encode_signed(constant))
                if Constant(constant) in self.code(f)}

    @functools.cache
    def callers(self, function: int) -> set[int]:
        candidates = set(self._containing(CALL, encode_unsigned(function)))
        for index, entry in self.table.items():
            if entry == function:
                candidates.update(self._containing(I32_CONST, encode_signed(index)))
        return {f for f in candidates if function in self.callees(f)}

    def waits(self) -> dict[int, list[int]]:
        """The functions that wait for a semaphore, and the offsets of the flags that each looks at.

        Emscripten's semaphore wakes nobody: what is left of PGSemaphoreLock is a load of its
        pointer, and of the wait a loop that does nothing but look at a byte.
        """
        found: dict[int, list[int]] = {}
        for index, body in enumerate(self.module.code, self.imported):
            if DROPPED_LOAD.search(body):
                offsets = [offset for offset in map(_wait, _loops(self.code(index)))
                           if offset is not None]
                if offsets:
                    found[index] = offsets
        return found

    @functools.cache
    def callees(self, function: int) -> set[int]:
        return {step.function for step in self.code(function)
                if isinstance(step, Call) and step.function is not None}
