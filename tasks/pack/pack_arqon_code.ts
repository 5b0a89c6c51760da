/**
 * Compiles the programs' TypeScript to JavaScript that Deno runs in a `node_modules`, where it accepts no TypeScript
 * and no import map. Each file becomes one file, and packages get their npm names. Pure.
 */
import ts from "typescript";

interface Renames {
  /** The `npm:NAME@VERSION/PATH` of each package, by bare specifier. */
  readonly packages: Readonly<Record<string, string>>;
  /** The path of each member's module relative to the root, by bare specifier. */
  readonly members: Readonly<Record<string, string>>;
}

/** The specifier by which Deno imports `npm:@a/b@1.2.3/c` from a `node_modules`: `@a/b/c`. */
function npmSpecifier(target: string): string {
  const [, name, path = ""] = /^npm:((?:@[^/]+\/)?[^@/]+)@[^/]+(\/.*)?$/.exec(target) ?? [];
  if (name === undefined) throw new TypeError(`"${target}" is no npm: specifier`);
  return `${name}${path}`;
}

/** The path of a module after its compilation to JavaScript. */
export function jsPath(path: string): string {
  return path.replace(/\.ts$/, ".js");
}

function relative(from: string, to: string): string {
  const up = "../".repeat(from.split("/").length - 1);
  return `${up === "" ? "./" : up}${to}`;
}

/** The URLs that start threads, children and our own program. */
const STARTED = /(new URL\(\s*")(\.{1,2}\/[^"]+\.ts)(",\s*import\.meta\.url)/g;

/** Replaces every specifier by the result of `place`. Imports as text stay unchanged. */
function withSpecifiers(text: string, place: (specifier: string) => string): string {
  let out = "";
  let done = 0;
  for (const { fileName, pos, end } of ts.preProcessFile(text, true, true).importedFiles) {
    // The range from the opening quote to the closing one.
    const from = pos;
    const to = text.indexOf('"', pos + 1) + 1 || end;
    if (/^\s*with\b/.test(text.slice(to))) continue;
    out += `${text.slice(done, from)}"${place(fileName)}"`;
    done = to;
  }
  return out + text.slice(done);
}

/** The JavaScript of the module at `path` relative to the root. Throws for a bare specifier without a target. */
export function javaScript(path: string, source: string, renames: Renames): string {
  const { packages, members } = renames;
  const place = (specifier: string): string => {
    if (/^\.{1,2}\//.test(specifier)) return jsPath(specifier);
    if (specifier.startsWith("node:")) return specifier;
    const member = members[specifier];
    if (member !== undefined) return relative(path, jsPath(member));
    const target = packages[specifier];
    if (target === undefined) {
      throw new Error(`${path} imports "${specifier}", which is not packed`);
    }
    return npmSpecifier(target);
  };
  const { outputText } = ts.transpileModule(source, {
    fileName: path,
    compilerOptions: {
      target: ts.ScriptTarget.ESNext,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      removeComments: true,
    },
  });
  const url = (_: string, head: string, file: string, tail: string) => head + jsPath(file) + tail;
  return withSpecifiers(outputText, place).replace(STARTED, url);
}
