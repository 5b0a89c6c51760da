/**
 * The rule for coverage as pure functions: it reads an lcov report, adds the files that no test has loaded,
 * and judges each folder. `coverage.ts` runs the tests.
 */
import ts from "typescript";

/** Line counts of one file: lines that can run, and lines that did run. */
export interface LineCount {
  readonly lines: number;
  readonly hit: number;
}

/** Folders with a floor: more than this share of their lines must run in tests. */
export const FLOORS: Readonly<Record<string, number>> = {
  "brain": 0.8,
  "shared/presence": 0.8,
  "shield/policy": 0.8,
};

/** Line counts by path from an lcov report; `root` is cut off the front of each path. */
export function parseLcov(text: string, root: string): Map<string, LineCount> {
  const counts = new Map<string, LineCount>();
  let path = "";
  let lines = new Map<number, boolean>();
  for (const row of text.split("\n")) {
    if (row.startsWith("SF:")) {
      path = row.slice(3).replace(root, "");
      lines = new Map();
    } else if (row.startsWith("DA:")) {
      const [line = 0, times = 0] = row.slice(3).split(",").map(Number);
      lines.set(line, times > 0 || lines.get(line) === true);
    } else if (row === "end_of_record") {
      counts.set(path, { lines: lines.size, hit: [...lines.values()].filter(Boolean).length });
    }
  }
  return counts;
}

/** Number of lines of a source text that can run; imports, types and comments cannot. */
export function runnableLines(text: string): number {
  const source = ts.createSourceFile("a.ts", text, ts.ScriptTarget.ESNext, true);
  const lines = new Set<number>();
  const visit = (node: ts.Node): void => {
    if (
      ts.isImportDeclaration(node) || ts.isInterfaceDeclaration(node) ||
      ts.isTypeAliasDeclaration(node) || ts.isExportDeclaration(node)
    ) return;
    const children = node.getChildren(source).filter((child) => !ts.isJSDoc(child));
    if (children.length === 0 && node.getWidth(source) > 0) {
      lines.add(source.getLineAndCharacterOfPosition(node.getStart(source)).line);
    }
    children.forEach(visit);
  };
  source.statements.forEach(visit);
  return lines.size;
}

/** The sum of the line counts of all files below a folder. */
export function folderCoverage(
  counts: ReadonlyMap<string, LineCount>,
  folder: string,
): LineCount {
  let lines = 0;
  let hit = 0;
  for (const [path, count] of counts) {
    if (!path.startsWith(`${folder}/`)) continue;
    lines += count.lines;
    hit += count.hit;
  }
  return { lines, hit };
}

/** Whether a folder is above its floor. A folder without a line that can run is not. */
export function isAboveFloor({ lines, hit }: LineCount, floor: number): boolean {
  return lines > 0 && hit / lines > floor;
}
