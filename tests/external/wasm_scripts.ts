/**
 * Runs the converted scripts of the WebAssembly specification tests in the engine, each module after a function that
 * may rewrite it. Returns the result of every command; judges nothing.
 */
import type { WasmCommand, WasmScript } from "./wasm_corpus.ts";

interface ScriptValue {
  readonly type: string;
  readonly value?: string;
}

interface Action {
  readonly type: "invoke" | "get";
  readonly module?: string;
  readonly field: string;
  readonly args?: readonly ScriptValue[];
}

/** One command of a script, with everything needed to run it. */
export interface Command extends WasmCommand {
  readonly name?: string;
  readonly as?: string;
  readonly action?: Action;
  readonly expected?: readonly ScriptValue[];
}

/** The result of a command: its values as text, or its failure. */
export interface Outcome {
  readonly command: Command;
  readonly results: string;
}

type Exports = WebAssembly.Instance["exports"];

/** How a runner handles modules. */
export interface Treatment {
  /** The bytes to run instead of the script's bytes. */
  readonly rewrite: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;
  /** Called with every instance's exports before each action. */
  readonly before: (exports: Exports) => void;
  /** The name of an action's error; `exports` are those of every instance. */
  readonly nameError: (error: unknown, exports: readonly Exports[]) => string;
}

const BITS = new DataView(new ArrayBuffer(8));
const REFERENCES = new Map<string, object>();

function operand({ type, value = "0" }: ScriptValue): unknown {
  if (type === "i32") return Number(value) | 0;
  if (type === "i64") return BigInt.asIntN(64, BigInt(value));
  if (type === "f32") {
    BITS.setUint32(0, Number(value));
    return BITS.getFloat32(0);
  }
  if (type === "f64") {
    BITS.setBigUint64(0, BigInt(value));
    return BITS.getFloat64(0);
  }
  if (value === "null") return null;
  const known = REFERENCES.get(value) ?? { reference: value };
  REFERENCES.set(value, known);
  return known;
}

/** A result as text, with everything about it that JavaScript keeps. */
function text(value: unknown): string {
  if (typeof value === "function") return "function";
  if (typeof value === "bigint") return `${value}n`;
  return Object.is(value, -0) ? "-0" : JSON.stringify(value) + (Number.isNaN(value) ? "NaN" : "");
}

/** The expected result, in the form of `text`; `undefined` when anything but null is accepted. */
export function expectedText(value: ScriptValue): string | undefined {
  if (value.value?.startsWith("nan:")) return "nullNaN";
  if (value.value === undefined) return undefined;
  return text(operand(value));
}

function spectest(): WebAssembly.ModuleImports {
  const global = (value: "i32" | "i64" | "f32" | "f64", initial: unknown) =>
    new WebAssembly.Global({ value, mutable: false }, initial);
  const print = () => {};
  const names = ["print", "print_i32", "print_i64", "print_f32", "print_f64", "print_i32_f32"];
  return {
    ...Object.fromEntries([...names, "print_f64_f64"].map((name) => [name, print])),
    global_i32: global("i32", 666),
    global_i64: global("i64", 666n),
    global_f32: global("f32", 666.6),
    global_f64: global("f64", 666.6),
    table: new WebAssembly.Table({ initial: 10, maximum: 20, element: "anyfunc" }),
    memory: new WebAssembly.Memory({ initial: 1, maximum: 2 }),
  };
}

/** One run of one script. */
class Run {
  readonly #script: WasmScript;
  readonly #treatment: Treatment;
  readonly #imports: Record<string, WebAssembly.ModuleImports> = { spectest: spectest() };
  readonly #named = new Map<string, Exports>();
  readonly #all: Exports[] = [];
  #last: Exports = {};

  constructor(script: WasmScript, treatment: Treatment) {
    this.#script = script;
    this.#treatment = treatment;
  }

  #instantiate(filename: string): Exports {
    const found = this.#script.modules.get(filename);
    if (found === undefined) throw new TypeError(`the script has no module ${filename}`);
    const bytes = this.#treatment.rewrite(found);
    this.#all.forEach(this.#treatment.before);
    const module = new WebAssembly.Module(bytes);
    return new WebAssembly.Instance(module, this.#imports).exports;
  }

  #act({ module, type, field, args = [] }: Action): string {
    const exports = module === undefined ? this.#last : this.#named.get(module) ?? {};
    this.#all.forEach(this.#treatment.before);
    const found = exports[field];
    if (type === "get") return text((found as WebAssembly.Global).value);
    const results: unknown = (found as CallableFunction)(...args.map(operand));
    if (results === undefined) return "";
    return (Array.isArray(results) ? results : [results]).map(text).join(" ");
  }

  #command(command: Command): string | undefined {
    const { type, filename, name, action } = command;
    if (type === "module") {
      this.#last = this.#instantiate(filename ?? "");
      this.#all.push(this.#last);
      if (name !== undefined) this.#named.set(name, this.#last);
      return "instantiated";
    }
    if (type === "register") {
      const exports = name === undefined ? this.#last : this.#named.get(name) ?? {};
      this.#imports[command.as ?? ""] = exports as WebAssembly.ModuleImports;
      return "registered";
    }
    if (type === "assert_unlinkable" || type === "assert_uninstantiable") {
      this.#instantiate(filename ?? "");
      return "instantiated";
    }
    return action === undefined ? undefined : this.#act(action);
  }

  outcomes(): readonly Outcome[] {
    const commands: readonly Command[] = this.#script.commands;
    return commands.flatMap((command) => {
      try {
        const results = this.#command(command);
        return results === undefined ? [] : [{ command, results }];
      } catch (error) {
        return [{ command, results: this.#treatment.nameError(error, this.#all) }];
      }
    });
  }
}

/** The results of all commands of a script, except those about malformed and invalid modules. */
export function runScript(script: WasmScript, treatment: Treatment): readonly Outcome[] {
  return new Run(script, treatment).outcomes();
}
