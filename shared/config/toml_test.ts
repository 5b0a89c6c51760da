/** TOML values, the position of each, and where syntax errors are reported. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { anyCharacter } from "../testing/any_character.ts";
import { parseToml, type TomlDocument, type TomlPath } from "./toml.ts";

function read(text: string): TomlDocument {
  const result = parseToml(text);
  assert.ok(result.ok, result.ok ? "" : result.message);
  return result.document;
}

/** "line:column of the key, line:column of the value, source". */
function at(document: TomlDocument, path: TomlPath): string {
  const entry = document.entry(path);
  if (entry === undefined) return "nothing";
  const { key, value, source } = entry;
  return `${key.line}:${key.column} ${value.line}:${value.column} ${source}`;
}

/** Without the null prototypes, for comparing. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

Deno.test("tables, arrays of tables, dotted keys and inline tables become one plain value", () => {
  const document = read(`
top = 1
dotted.inner.key = "x"
[server]
port = 0x1F
big = 1_000
[auth]
[[auth.issuers]]
issuer = 'a'
[auth.issuers.extra]
yes = true
[[auth.issuers]]
inline = { a = [1, 2.5, { b = "c" }], d.e = false }
`);
  assert.deepEqual(plain(document.value), {
    top: 1,
    dotted: { inner: { key: "x" } },
    server: { port: 31, big: 1000 },
    auth: {
      issuers: [
        { issuer: "a", extra: { yes: true } },
        { inline: { a: [1, 2.5, { b: "c" }], d: { e: false } } },
      ],
    },
  });
});

Deno.test("every key and value has its line and column, counted from 1", () => {
  const document = read(
    `a = 1
  b.c =  "x"
[[t.u]]
k = [10, { z = 2 }]
[[ t . u ]]
"q\\u0061" = 'é' # 𝒳
`,
  );
  assert.equal(at(document, ["a"]), "1:1 1:5 1");
  assert.equal(at(document, ["b"]), "2:3 2:3 ");
  assert.equal(at(document, ["b", "c"]), '2:5 2:10 "x"');
  assert.equal(at(document, ["t"]), "3:3 3:3 ");
  assert.equal(at(document, ["t", "u"]), "3:5 3:5 ");
  assert.equal(at(document, ["t", "u", 0]), "3:5 3:5 ");
  assert.equal(at(document, ["t", "u", 0, "k"]), "4:1 4:5 [10, { z = 2 }]");
  assert.equal(at(document, ["t", "u", 0, "k", 0]), "4:6 4:6 10");
  assert.equal(at(document, ["t", "u", 0, "k", 1, "z"]), "4:12 4:16 2");
  assert.equal(at(document, ["t", "u", 1]), "5:8 5:8 ");
  assert.equal(at(document, ["t", "u", 1, "qa"]), "6:1 6:13 'é'");
  assert.equal(at(document, ["nothing"]), "nothing");
  assert.equal(at(document, ["t", "u", 2]), "nothing");
});

Deno.test("__proto__ and constructor are keys like any other", () => {
  const { value } = read("__proto__ = 1\nconstructor = 2\n[x.__proto__]\npolluted = true\n");
  assert.deepEqual(Object.keys(value), ["__proto__", "constructor", "x"]);
  assert.equal(Object.hasOwn(value, "__proto__"), true);
  assert.equal((({}) as { polluted?: boolean }).polluted, undefined);
});

Deno.test("dates and times become null, whatever their form", () => {
  const { value } = read(
    "a = 2026-01-01\nb = 07:32:00\nc = 2026-01-01T00:00:00Z\nd = 2026-01-01 00:00:00\n",
  );
  assert.deepEqual(plain(value), { a: null, b: null, c: null, d: null });
});

Deno.test("a byte order mark and Windows line ends do not shift anything", () => {
  const document = read("\ufeffa = 1\r\n[b]\r\nc = 2\r\n");
  assert.equal(at(document, ["a"]), "1:1 1:5 1");
  assert.equal(at(document, ["b", "c"]), "3:1 3:5 2");
});

const NOT_A_VALUE =
  "not a TOML value; expected a string in quotes, a number, true, false, an array or a table";

const SYNTAX: [string, string][] = [
  ["[server\nport = 1\n", '1:8 the table header is not closed; expected "]"'],
  ["a = 1\nb =\nc = 2\n", '2:4 the value is missing; expected one on the same line as "="'],
  ["[a]\nb = ", '2:4 the value is missing; expected one on the same line as "="'],
  ["a = 1\nb 2\n", '2:3 expected "=" and a value after the key'],
  ["a = 1 b = 2\n", "1:7 unexpected text after the value; expected the end of the line"],
  ["a = 1\n a = 2\n", "2:2 the key is defined twice; expected it once"],
  ["[a]\nb = 1\n[a]\nc = 2\n", "3:2 the key is defined twice; expected it once"],
  ["a = {b = 1, b = 2}\n", "1:13 the key is defined twice; expected it once"],
  ['a = "x\n', "1:7 the string is not closed; expected a closing quote"],
  ["a = [1, 2\n", '1:10 the array is not closed; expected "]"'],
  ["é = 1\n", "1:1 unexpected character; expected TOML 1.0"],
  ["= 1\n", "1:1 unexpected token; expected TOML 1.0"],
  ["a = 01\n", "1:5 leading zeros are not allowed; expected TOML 1.0"],
  ["a = nothing\n", `1:5 ${NOT_A_VALUE}`],
  ["a = nothing", `1:5 ${NOT_A_VALUE}`],
  ["a = # later\nb = 2\n", '1:4 the value is missing; expected one on the same line as "="'],
  [
    "a = # later = x\n\n\nb = 2\n",
    '1:4 the value is missing; expected one on the same line as "="',
  ],
  ["a\n= 2\n", '1:2 expected "=" and a value on the line of the key'],
  ["a = [1, nothing]\n", "1:9 unexpected character; expected TOML 1.0"],
];

for (const [text, expected] of SYNTAX) {
  Deno.test(`the syntax error in ${JSON.stringify(text)} is named with its place`, () => {
    const result = parseToml(text);
    assert.ok(!result.ok);
    assert.equal(`${result.position.line}:${result.position.column} ${result.message}`, expected);
  });
}

Deno.test("any text is a document or a syntax error with a place within the text", () => {
  const pieces = fc.array(
    fc.constantFrom("a", "b.c", '"q"', "=", " ", "1", "'s'", "[", "]", "[[", "{", "}", ",", "\n"),
    { maxLength: 24 },
  ).map((list) => list.join(""));
  fc.assert(fc.property(fc.oneof(fc.string({ unit: anyCharacter }), pieces), (text) => {
    const result = parseToml(text);
    if (result.ok) return;
    const lines = text.split("\n");
    const { line, column } = result.position;
    assert.ok(line >= 1 && line <= lines.length, `line ${line} of ${lines.length}`);
    assert.ok(column >= 1 && column <= (lines[line - 1] ?? "").length + 1, `column ${column}`);
  }));
});

Deno.test("absurd nesting is an error, not a crash", () => {
  const result = parseToml(`a = ${"[".repeat(100_000)}`);
  assert.equal(result.ok, false);
  const long = parseToml(`a = "${"x".repeat(200_000)}"`);
  assert.match(long.ok ? "" : long.message, /or a string of more than some 120,000 characters/);
});
