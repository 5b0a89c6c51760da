/**
 * Checks in every file of the product that a switch over a closed union does not compile when a case is left
 * out. `switch_rules.ts` has the rule; this file reads all sources with the TypeScript compiler, without
 * packages.
 */
import ts from "typescript";
import { isProduct, listFiles, ROOT } from "../checkout/source_files.ts";
import { checkSwitches, compilerOptions, neverDefault, switchesOf } from "./switch_rules.ts";
import { exitWith } from "../checkout/violation.ts";

if (import.meta.main) {
  const paths = (await listFiles([".ts"])).filter(isProduct);
  const program = ts.createProgram(paths.map((path) => ROOT + path), compilerOptions(ROOT));
  const checker = program.getTypeChecker();
  const files = paths.map((path) => {
    const source = program.getSourceFile(ROOT + path);
    if (source === undefined) throw new Error(`the compiler has not read ${path}`);
    return { path, source };
  });
  const exhaustive = files.flatMap(({ source }) => switchesOf(source).filter(neverDefault));
  exitWith(
    files.flatMap(({ path, source }) => checkSwitches(path, source, checker)),
    `${exhaustive.length} switches over closed unions name every case`,
  );
}
