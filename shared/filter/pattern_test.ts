/** The steps of a pattern search, besides those of creating its states. */
import assert from "node:assert/strict";
import { RE2JS } from "@bufbuild/re2";
import fc from "fast-check";
import { compileSteps, makeTable, Pattern } from "./pattern.ts";

/** Steps of a second search in the same text: its states exist. */
function stepsOfLooking(text: string): number {
  let steps = 0;
  const spend = (spent: number) => {
    steps += spent;
    return true;
  };
  const pattern = new Pattern(text, spend, () => {});
  const operand = "a".repeat(16_000);
  pattern.isIn(operand);
  steps = 0;
  pattern.isIn(operand);
  return steps;
}

Deno.test("only a pattern that looks for edges is paid at each character by its length", () => {
  for (const plain of ["[^b]{3}c", "a\\^c", "\\$b", "[$]b", "\\\\Bc"]) {
    assert.equal(stepsOfLooking(plain), 1_000, plain);
  }
  for (const edged of ["^b", "b$", "\\bb", "\\Bb", "\\Ab", "b\\z", "(?m)^b"]) {
    assert.ok(stepsOfLooking(edged) > 2_000, edged);
  }
});

/** How often a search of the pattern looks through the whole text for one of its literals. */
function searchesOf(pattern: string): number {
  const compiled = new Pattern(pattern, () => true, () => {});
  const { indexOf } = String.prototype;
  let searches = 0;
  String.prototype.indexOf = function (...given: Parameters<typeof indexOf>) {
    searches++;
    return indexOf.apply(this, given);
  };
  try {
    compiled.isIn("a".repeat(1_000));
  } finally {
    String.prototype.indexOf = indexOf;
  }
  return searches;
}

Deno.test("a pattern with many literals looks for none of them before it matches", () => {
  assert.equal(searchesOf("foo.*bar"), 1, "the text lacks the first");
  const many = Array.from({ length: 30 }, (_, n) => `(a${String.fromCodePoint(0x62 + n)})`);
  assert.equal(searchesOf(many.join("|")), 0);
});

/** How many characters RE2 makes to compile a pattern: it does so to fold each. */
function charactersOf(pattern: string): number {
  const { fromCodePoint } = String;
  let made = 0;
  String.fromCodePoint = (...points) => {
    made++;
    return fromCodePoint(...points);
  };
  try {
    RE2JS.compile(pattern);
  } catch {
    // An invalid one folds characters, too.
  } finally {
    String.fromCodePoint = fromCodePoint;
  }
  return made;
}

Deno.test("no pattern folds more characters than it pays", () => {
  assert.ok(charactersOf("(?i)[B-\u{1e942}]") > 100_000);
  for (const name of ["L", "Lu"]) makeTable(name);
  const part = fc.constantFrom(
    ...["[", "[", "]", "]", "^", "-", "-", "-", "A", "B", "z", "\u{1e942}", "\u9fa5", "\\", "\\]"],
    ...[
      "[:alpha:]",
      "[:^word:]",
      "[:",
      ":]",
      "\\d",
      "\\pL",
      "\\p{Lu}",
      "\\P{^Lu}",
      "\\x41",
      "\\x{9000}",
    ],
    ...[
      "\\101",
      "\\0",
      "\\n",
      "\\-",
      "\\Q",
      "\\E",
      "(?i)",
      "(?-i)",
      "(?i:",
      "(",
      ")",
      "|",
      "{2}",
      "\n",
    ],
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 16 }), (parts) => {
      const pattern = `(?i)${parts.join("")}`;
      const steps = compileSteps(pattern);
      // Others are refused.
      if (steps > 40_000) return;
      const made = charactersOf(pattern);
      assert.ok(made <= 4 * steps + 1_000, `${JSON.stringify(pattern)}: ${made}, ${steps} steps`);
    }),
    { numRuns: 5_000 },
  );
});
