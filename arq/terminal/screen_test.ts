// The part of a view that fits a terminal of some size; tests/arq/arq_terminal_test.ts checks that it is drawn so.
import assert from "node:assert/strict";
import { cropped } from "./screen.ts";

Deno.test("a view is cut at the edges of the terminal, and shows that there is more below", () => {
  const view = "one\ntwo three\nfour\n";
  assert.equal(cropped(view, { columns: 80, rows: 24 }), view);
  assert.equal(cropped(view, { columns: 5, rows: 24 }), "one\ntwo t\nfour\n");
  // The line after the last one belongs to the cursor.
  assert.equal(cropped(view, { columns: 80, rows: 4 }), view);
  assert.equal(cropped(view, { columns: 80, rows: 3 }), "one\n…\n");
  assert.equal(cropped("é😀x\n", { columns: 2, rows: 9 }), "é😀\n");
});
