/** When a tag may become a release, and what its page says. */
import assert from "node:assert/strict";
import {
  changelogProblem,
  releaseText,
  sectionOf,
  versionOfTag,
  withSection,
} from "./release_rules.ts";

const CHANGELOG = `# Changes

Versions follow something.

## 0.2.0 (not yet released)

- One thing that is
  long ([docs](docs/a.md#b), [web](https://example.com/)).
- Another.

See [below](#x),
and on.

\`\`\`
kept
as it is
\`\`\`

## 0.1.0 (2026-11-20)

- First.

## 0.0.9 (2026-02-30)

## 0.0.8 (2026-02-03)
`;

Deno.test("a tag is v and a version", () => {
  assert.equal(versionOfTag("v1.2.3"), "1.2.3");
  assert.equal(versionOfTag("v1.2.3-rc.4"), "1.2.3-rc.4");
  for (const bad of ["1.2.3", "vv1.2.3", "v1.2", "latest", "v1.2.3;ls", ""]) {
    assert.throws(() => versionOfTag(bad), /is no tag of a release: it must be v and then X\.Y\.Z/);
  }
});

Deno.test("a section ends where the next begins", () => {
  assert.deepEqual(sectionOf(CHANGELOG, "0.1.0"), { note: "2026-11-20", text: "- First." });
  assert.equal(sectionOf(CHANGELOG, "0.1"), undefined);
  assert.equal(sectionOf(CHANGELOG, "Versions"), undefined);
});

Deno.test("a release needs a section with a day and a text", () => {
  const problem = (version: string) => changelogProblem(CHANGELOG, version);
  assert.equal(problem("0.1.0"), undefined);
  assert.match(problem("0.3.0") ?? "", /no section "## 0\.3\.0 \(YYYY-MM-DD\)"/);
  assert.match(problem("0.2.0") ?? "", /\(not yet released\)": put the day/);
  assert.match(problem("0.0.9") ?? "", /\(2026-02-30\)": put the day/);
  assert.match(problem("0.0.8") ?? "", /says nothing below 0\.0\.8/);
});

Deno.test("a new version gets a section above the others, once", () => {
  const changed = withSection(CHANGELOG, "0.3.0");
  assert(changed.includes("something.\n\n## 0.3.0 (not yet released)\n\n## 0.2.0"));
  assert.equal(withSection(changed, "0.3.0"), changed);
  assert.equal(withSection("# Changes\n", "1.0.0"), "# Changes\n\n## 1.0.0 (not yet released)\n");
});

Deno.test("the release page has one line for each entry, and links that lead somewhere", () => {
  const section = sectionOf(CHANGELOG, "0.2.0");
  assert(section !== undefined);
  assert.equal(
    releaseText(section, "https://example.com/tree/"),
    `- One thing that is long ([docs](https://example.com/tree/docs/a.md#b), [web](https://example.com/)).
- Another.

See [below](#x), and on.

\`\`\`
kept
as it is
\`\`\`
`,
  );
  assert(releaseText(section).includes("](docs/a.md#b)"));
});
