/** A page shows the current text of its files, and a missing region is an error. */
import assert from "node:assert/strict";
import { shownPart, withShownFiles } from "./gen_shown_files.ts";

const FILES: Readonly<Record<string, string>> = {
  "a.ts": "/** About it. */\nimport a;\n\na();\n",
  "b.py": '"""About it.\n\nMore.\n"""\n\nimport b\n',
  "c.toml": "# About it.\n\n[c]\n",
  "d.ts": "f(() => {\n  // #region inner\n  if (x) {\n    y();\n  }\n  // #endregion\n});\n",
};
const read = (path: string) => Promise.resolve(FILES[path]!);

Deno.test("blocks that name a file have its text without its opening comment, others stay", async () => {
  const page = (a: string, b: string, c: string) =>
    `# P\n\n\`\`\`ts shows=a.ts\n${a}\`\`\`\n\n\`\`\`sh\nls\n\`\`\`\n\n\`\`\`python shows=b.py\n${b}\`\`\`\n` +
    `\n\`\`\`toml shows=c.toml\n${c}\`\`\`\n`;
  const wanted = page("import a;\n\na();\n", "import b\n", "[c]\n");
  assert.equal(await withShownFiles(page("old\n\nolder\n", "", "old\n"), read), wanted);
  assert.equal(await withShownFiles(wanted, read), wanted);
});

Deno.test("a region loses its indentation; a missing region is named", () => {
  assert.equal(shownPart(FILES["d.ts"]!, "d.ts", "inner"), "if (x) {\n  y();\n}");
  assert.throws(() => shownPart(FILES["d.ts"]!, "d.ts", "outer"), /d\.ts has no "#region outer"/);
});
