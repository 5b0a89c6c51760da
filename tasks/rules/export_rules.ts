/**
 * The rule for exports, as a pure function over the modules of the checkout. An export must be reached from a
 * program, from a package's entry or from a gate, and not only by tests of it. A value that no other file
 * imports must not be exported; a type may be, since it names what a function takes.
 */
import type { Declaration, ModuleGraph } from "./export_graph.ts";
import { isProduct, isTestCode } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";

/** Whether a file runs only in tests, so that its imports do not count. */
const isForTests = (path: string) => isTestCode(path) || path.startsWith("tests/");

const keyOf = (path: string, name: string) => `${path} ${name}`;

/** The declarations that something runs or that a package exports, by `keyOf`. */
class Reached {
  readonly keys = new Set<string>();
  readonly #modules: ReadonlyMap<string, ModuleGraph>;
  readonly #due: [path: string, name: string][] = [];

  constructor(modules: ReadonlyMap<string, ModuleGraph>) {
    this.#modules = modules;
  }

  /**
   * Reaches a name of a module, which may declare, import or pass it on; `*` is everything that it exports.
   */
  take(path: string, name: string): void {
    const key = keyOf(path, name);
    if (this.keys.has(key) || !this.#modules.has(path)) return;
    this.keys.add(key);
    this.#due.push([path, name]);
  }

  /** Follows the uses of what is reached, until nothing new is found. */
  settle(): void {
    for (let next = this.#due.pop(); next !== undefined; next = this.#due.pop()) {
      this.#follow(...next);
    }
  }

  #follow(path: string, name: string): void {
    const module = this.#modules.get(path)!;
    const { declarations, imports, passed_on, passed_on_whole } = module;
    if (name === "*") {
      for (const one of declarations) if (one.is_exported) this.take(path, one.name);
      for (const one of passed_on.keys()) this.take(path, one);
      for (const whole of passed_on_whole) this.take(whole, "*");
      return;
    }
    const from = imports.get(name) ?? passed_on.get(name);
    if (from !== undefined) this.take(from.path, from.name);
    const own = declarations.filter((one) => one.name === name);
    for (const { uses } of own) for (const use of uses) this.take(path, use);
    if (own.length === 0 && from === undefined) {
      for (const whole of passed_on_whole) this.take(whole, name);
    }
  }
}

/**
 * The declarations that are reached without tests. `entries` are modules whose exports a package gives out.
 */
function reachedFrom(modules: readonly ModuleGraph[], entries: readonly string[]): Reached {
  const reached = new Reached(new Map(modules.map((module) => [module.path, module])));
  for (const entry of entries) reached.take(entry, "*");
  for (const { path, imports, acts, loads } of modules) {
    if (isForTests(path)) continue;
    for (const name of acts) reached.take(path, name);
    for (const loaded of loads) reached.take(loaded, "*");
    // Gates, benchmarks and examples run as they are, so everything that they import is used.
    if (!isProduct(path)) {
      for (const from of imports.values()) reached.take(from.path, from.name);
    }
  }
  reached.settle();
  return reached;
}

/** The names of each file that other files import, tests included; `*`: all of them. */
function takenFrom(modules: readonly ModuleGraph[]): Set<string> {
  const taken = new Set<string>();
  for (const { path, imports, passed_on, passed_on_whole, loads } of modules) {
    for (const from of [...imports.values(), ...passed_on.values()]) {
      taken.add(keyOf(from.path, from.name));
    }
    for (const whole of [...passed_on_whole, ...loads]) {
      if (whole !== path) taken.add(keyOf(whole, "*"));
    }
  }
  return taken;
}

/** Every export that nothing needs. */
export function checkExports(
  modules: readonly ModuleGraph[],
  entries: readonly string[],
): Violation[] {
  const reached = reachedFrom(modules, entries);
  const taken = takenFrom(modules);
  const problemOf = (path: string, { name, is_type }: Declaration): string | undefined => {
    if (!reached.keys.has(keyOf(path, name))) {
      return `nothing that users run needs ${name}: take it away, or move it to what tests it`;
    }
    if (is_type || entries.includes(path)) return undefined;
    if (taken.has(keyOf(path, name)) || taken.has(keyOf(path, "*"))) return undefined;
    return `no other file imports ${name}: do not export it`;
  };
  return modules.filter(({ path }) => isProduct(path)).flatMap(({ path, declarations }) =>
    declarations.filter(({ is_exported }) => is_exported).flatMap((one) => {
      const message = problemOf(path, one);
      return message === undefined ? [] : [{ path, line: one.line, message }];
    })
  );
}
