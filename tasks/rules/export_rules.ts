/**
 * The rule on exports, as a pure function over the modules of the checkout: what is given out is
 * reached from a program, a package's entry or a gate, and not by its tests alone; and a value that no
 * other file takes is not given out. A type may be: it names what a function takes. `exports.ts`
 * reads the files.
 */
import type { Declaration, ModuleGraph } from "./export_graph.ts";
import { isProduct, isTestCode } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";

/**
 * Serve tests and lie among the product, with the part of the path that they share. An entry that
 * fits no file is a problem too: the list gets shorter.
 */
export const FIXTURES: readonly RegExp[] = [
  /^shared\/spine\/conformance\//,
];

const isFixture = (path: string) => FIXTURES.some((pattern) => pattern.test(path));
/** What nobody runs but to test: its imports keep nothing. */
const isForTests = (path: string) =>
  isTestCode(path) || path.startsWith("tests/") || isFixture(path);

const keyOf = (path: string, name: string) => `${path} ${name}`;

/** The declarations that something runs, or that a package gives out, by `keyOf`. */
class Reached {
  readonly keys = new Set<string>();
  readonly #modules: ReadonlyMap<string, ModuleGraph>;
  readonly #due: [path: string, name: string][] = [];

  constructor(modules: ReadonlyMap<string, ModuleGraph>) {
    this.#modules = modules;
  }

  /** A name that a module knows, whether it declares, imports or passes it on; `*`: all it gives out. */
  take(path: string, name: string): void {
    const key = keyOf(path, name);
    if (this.keys.has(key) || !this.#modules.has(path)) return;
    this.keys.add(key);
    this.#due.push([path, name]);
  }

  /** Goes on until nothing new is found. */
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

/** What is reached without the tests. `entries`: modules whose exports a package gives out. */
function reachedFrom(modules: readonly ModuleGraph[], entries: readonly string[]): Reached {
  const reached = new Reached(new Map(modules.map((module) => [module.path, module])));
  for (const entry of entries) reached.take(entry, "*");
  for (const { path, imports, acts, loads } of modules) {
    if (isForTests(path)) continue;
    for (const name of acts) reached.take(path, name);
    for (const loaded of loads) reached.take(loaded, "*");
    // Gates, benchmarks and examples are run as they are: what they import is used.
    if (!isProduct(path)) {
      for (const from of imports.values()) reached.take(from.path, from.name);
    }
  }
  reached.settle();
  return reached;
}

/** The names that other files take of each file, tests too; `*`: all. */
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

/** Every export that nobody needs, and every entry of `FIXTURES` that fits nothing. */
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
  const found = modules.filter(({ path }) => isProduct(path) && !isFixture(path)).flatMap(
    ({ path, declarations }) =>
      declarations.filter(({ is_exported }) => is_exported).flatMap((one) => {
        const message = problemOf(path, one);
        return message === undefined ? [] : [{ path, line: one.line, message }];
      }),
  );
  const unused = FIXTURES.filter((pattern) => !modules.some(({ path }) => pattern.test(path)));
  return [
    ...found,
    ...unused.map((pattern) => {
      const message = `FIXTURES has ${pattern}, which fits no file: take it away`;
      return { path: "tasks/rules/export_rules.ts", line: 0, message };
    }),
  ];
}
