/**
 * The rules for a bundle, as pure functions over its text and esbuild's report; `bundle_size.ts` makes both.
 */

/** The part of esbuild's metafile that says which files a bundle's bytes come from. */
export interface BundleInputs {
  readonly [path: string]: { readonly bytesInOutput: number };
}

/** Patterns that no bundle for a page may match, each with what it would mean. */
const UNWANTED: readonly [RegExp, string][] = [
  [/\bDeno\s*[.?[]/, "Deno's API"],
  [/["']node:/, "a module of Node"],
  [/\bprocess\.(?:env|argv|versions)\b/, "Node's process"],
  [/\bimport\(|\bfrom\s*["']/, "an import that is left"],
  [/\beval\(|\bnew Function\(/, "code made at run time, which a careful policy forbids"],
];

/**
 * The problems of a bundle: everything that does not belong into a page. `later` are the files of its own
 * that it may load when a program asks for what is in them.
 */
export function bundleProblems(
  text: string,
  inputs: BundleInputs,
  later: readonly string[] = [],
): string[] {
  const rest = later.reduce((left, file) => left.replaceAll(`import("./${file}")`, "0"), text);
  const found = UNWANTED.filter(([pattern]) => pattern.test(rest)).map(([, what]) => what);
  const foreign = Object.entries(inputs).filter(([path, { bytesInOutput }]) =>
    bytesInOutput > 0 && /node_modules|@bufbuild|\/gen\/arqon\//.test(path)
  );
  return [...found, ...foreign.map(([path]) => `${path}, which is no part of the SDK`)];
}

/** Path and minified bytes of the `count` files that take most of the bundle, largest first. */
export function contributors(inputs: BundleInputs, count: number): [string, number][] {
  return Object.entries(inputs).map(([path, { bytesInOutput }]): [string, number] => [
    path,
    bytesInOutput,
  ]).sort((a, b) => b[1] - a[1]).slice(0, count);
}
