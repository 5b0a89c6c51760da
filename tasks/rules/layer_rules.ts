/**
 * The import rules of docs/architecture.md#code as a pure function over a list of modules: allowed imports between
 * layers, and the allowed forms of a specifier.
 */
import type { Violation } from "../checkout/violation.ts";
import { isTest, isTestCode } from "../checkout/source_files.ts";

/** One import: the specifier as written, and its target, a path relative to the root or a URL. */
export interface Import {
  readonly specifier: string;
  readonly target: string;
  /** Line number, from 1. */
  readonly line: number;
  /** True if it imports only types. */
  readonly is_type?: boolean;
}

/** One of our modules, with its imports. */
export interface Module {
  readonly path: string;
  readonly imports: readonly Import[];
}

const EVERYTHING =
  "proto shared wasm shield brain sdk arq policies tasks tests bench examples deploy docs".split(
    " ",
  );

/** The layers that each layer may import, including itself. A layer is the first folder of a path. */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  proto: ["proto"],
  shared: ["proto", "shared"],
  wasm: ["wasm"],
  shield: ["proto", "shared", "wasm", "shield"],
  brain: ["proto", "shared", "wasm", "brain"],
  sdk: ["proto", "sdk"],
  arq: ["proto", "shared", "wasm", "shield", "brain", "sdk", "arq", "policies"],
  policies: ["proto", "shared", "wasm", "shield", "policies"],
  tasks: EVERYTHING,
  tests: EVERYTHING,
  bench: EVERYTHING,
  examples: ["proto", "sdk", "examples"],
  deploy: ["proto", "sdk", "arq", "deploy"],
  docs: ["docs"],
};

/** Additional layers that tests may import, for the real servers that they start. */
const FOR_TESTS = ["tests", "tasks"];
/** Modules that every test may import: waiting, and random numbers. */
const OF_ALL_TESTS = "shared/testing/";

/** Files of the compose stack that `arq` contains for `arq dev up`: texts, not modules. */
const CARRIED = /^(?:compose\.yaml|deploy\/[\w/.-]+\.(?:conf|json|toml|ya?ml))$/;

/** An external capability may import the same modules as the Shield's capabilities. */
const OUTSIDE_CAPABILITY = "examples/capability/";

/** Layers that also run in browsers: no packages, no built-in modules, no Protobuf runtime. */
const PORTABLE = ["proto", "sdk"];

/** Modules of a portable layer for programs that have this package anyway. */
const WITH_PACKAGE: readonly { readonly path: RegExp; readonly target: RegExp }[] = [
  { path: /^sdk\/typescript\/protobuf\.ts$/, target: /^npm:\/?@bufbuild\/protobuf@[^/]*$/ },
  { path: /^sdk\/react\//, target: /^npm:\/?react@[^/]*$/ },
  { path: /^sdk\/yjs\//, target: /^npm:\/?(?:yjs@[^/]*|y-protocols@[^/]*\/awareness\.js)$/ },
];

/** Members that import the protocol only by its published name. */
const OUTSIDE_PROTO = ["shared", "shield", "brain", "sdk", "arq"];

const layerOf = (path: string) => path.split("/", 1)[0] ?? "";
const isOurs = (target: string) => !/^[a-z][a-z0-9+.-]*:/.test(target);

function directionProblem(module: Module, target: string): string | undefined {
  const from = layerOf(module.path);
  const to = layerOf(target);
  const allowed = LAYERS[from];
  if (allowed === undefined) {
    return `the folder "${from}" is in no layer; add it to tasks/rules/layer_rules.ts and docs/architecture.md#code`;
  }
  const is_for_tests = FOR_TESTS.includes(to) || target.startsWith(OF_ALL_TESTS);
  if (allowed.includes(to) || (is_for_tests && isTestCode(module.path))) return undefined;
  if (module.path.startsWith(OUTSIDE_CAPABILITY) && LAYERS["shield"]?.includes(to)) {
    return undefined;
  }
  if (from === "arq" && CARRIED.test(target)) return undefined;
  return `${from} must not import ${to} (${target}); it may see ${allowed.join(", ")}`;
}

function writtenProblem(
  module: Module,
  { specifier, target }: Import,
  bare: ReadonlySet<string>,
): string | undefined {
  if (specifier.startsWith("./") || specifier.startsWith("../")) {
    const from = layerOf(module.path);
    if (OUTSIDE_PROTO.includes(from) && isOurs(target) && layerOf(target) === "proto") {
      return `import "${specifier}" as "@arqon/proto"`;
    }
    return undefined;
  }
  if (specifier.startsWith("node:") || bare.has(specifier)) return undefined;
  // The name of the guest SDK, which the compiler of reducers resolves.
  const is_reducer = module.path.startsWith("policies/reducers/");
  if (is_reducer && specifier === "@arqon/reducer") return undefined;
  return `"${specifier}" is neither relative nor a bare specifier from deno.json's imports`;
}

function portableProblem(module: Module, target: string): string | undefined {
  if (!PORTABLE.includes(layerOf(module.path)) || isTestCode(module.path)) return undefined;
  if (module.path.startsWith("proto/gen/")) return undefined;
  const own = WITH_PACKAGE.filter(({ path }) => path.test(module.path));
  const loads = WITH_PACKAGE.some((entry) => entry.path.test(target) && !own.includes(entry));
  if (loads) return `${module.path} would load a package with ${target}`;
  if (own.some((entry) => entry.target.test(target))) return undefined;
  if (!isOurs(target)) {
    return `${module.path} runs in browsers and must not import ${target}`;
  }
  if (target.startsWith("proto/gen/arqon/")) {
    return `${module.path} runs in browsers and must not import the Protobuf runtime (${target})`;
  }
  return undefined;
}

function testProblem(module: Module, target: string): string | undefined {
  if (isTest(target)) return `${module.path} must not import a test (${target})`;
  if (!isTestCode(target) || isTestCode(module.path)) return undefined;
  return FOR_TESTS.includes(layerOf(module.path))
    ? undefined
    : `${module.path} must not import what serves only tests (${target})`;
}

/** Every import that breaks a rule. `bare` has the keys of deno.json's imports, and the members. */
export function checkLayers(modules: readonly Module[], bare: ReadonlySet<string>): Violation[] {
  return modules.flatMap((module) =>
    module.imports.flatMap((item) =>
      [
        writtenProblem(module, item, bare),
        portableProblem(module, item.target),
        ...(isOurs(item.target)
          ? [directionProblem(module, item.target), testProblem(module, item.target)]
          : []),
      ].filter((message) => message !== undefined).map((message) => ({
        path: module.path,
        line: item.line,
        message,
      }))
    )
  );
}

/** Every entry in deno.json's imports that names a package without an exact version. */
export function checkPins(imports: Readonly<Record<string, string>>): Violation[] {
  const exact = /^npm:(@[^/@]+\/)?[^/@]+@\d+\.\d+\.\d+(-[\w.]+)?(\/.*)?$/;
  return Object.entries(imports).flatMap(([specifier, target]) =>
    /^\.\.?\//.test(target) || exact.test(target) ? [] : [{
      path: "deno.json",
      line: 0,
      message: `"${specifier}" maps to "${target}"; pin one exact version of an npm package`,
    }]
  );
}
