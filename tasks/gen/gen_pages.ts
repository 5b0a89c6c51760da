/**
 * Pages with manual prose and generated tables: each generated part is between
 * `<!-- generated: NAME -->` and `<!-- /generated -->`; and JSON. Pure text; `gen.ts` reads and writes the files.
 */

/**
 * JSON in which a value of up to `width` characters has one line: a change of a panel or a key is a line of a diff, and
 * a file has a line for each.
 */
export function jsonText(value: unknown, width: number, indent = ""): string {
  const line = JSON.stringify(value);
  if (line.length <= width || typeof value !== "object" || value === null) return line;
  const is_list = Array.isArray(value);
  const below = `${indent}  `;
  const members = Object.entries(value).filter(([, one]) => one !== undefined).map(([name, one]) =>
    `${below}${is_list ? "" : `${JSON.stringify(name)}: `}${jsonText(one, width, below)}`
  );
  return `${is_list ? "[" : "{"}\n${members.join(",\n")}\n${indent}${is_list ? "]" : "}"}`;
}

/** A row of a Markdown table. */
export const tableRow = (...cells: (string | number)[]): string =>
  `| ${
    cells.map((cell) => String(cell).replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")
  } |`;

/** A Markdown table with this head. */
export function table(head: readonly string[], rows: readonly string[]): string {
  return [tableRow(...head), tableRow(...head.map(() => "---")), ...rows].join("\n");
}

/** The page with these parts. Throws for a part that the page lacks, and for a part of the page that is not given. */
export function withParts(page: string, parts: Readonly<Record<string, string>>): string {
  const left = new Set(Object.keys(parts));
  const written = page.replace(
    /^(<!-- generated: (\w+) -->)\n[^]*?^(<!-- \/generated -->)$/gm,
    (_, begin: string, name: string, end: string) => {
      if (!left.delete(name)) {
        throw new TypeError(`the page has a part "${name}", which is not made`);
      }
      return `${begin}\n\n${parts[name]!.trim()}\n\n${end}`;
    },
  );
  if (left.size > 0) throw new TypeError(`the page has lost its part ${[...left].join(", ")}`);
  return written;
}
