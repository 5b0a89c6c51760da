/** Queries of the admin API: refusals name what is wrong and what is expected. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { Limit, readQuery, requireId, requireKnown } from "./query.ts";
import { DATA_ROUTES } from "../../data/capability.ts";
import { JOURNAL_ROUTES } from "../../journal/capability.ts";
import { WHY_ROUTES } from "../../ledger/admin/why.ts";
import { ConnectionFilter } from "../inspect/lists.ts";

const SHAPE = { ...ConnectionFilter, limit: Limit };

/** As the router does before a handler. */
function read(query: string) {
  const url = new URL(`http://x/v1/connections?${query}`);
  requireKnown(url, Object.keys(SHAPE));
  return readQuery(url, SHAPE);
}

function refused(run: () => unknown, text: RegExp): void {
  assert.throws(run, (error) => {
    assert.ok(error instanceof ArqonError && error.reason === "invalid-settings");
    assert.match(error.message, text);
    return true;
  });
}

Deno.test("a query is read with its defaults", () => {
  assert.deepEqual(read(""), { sort: "unsent", limit: 100 });
  assert.deepEqual(read("tenant=acme&sort=age&limit=1000&user=a%20b"), {
    tenant: "acme",
    user: "a b",
    sort: "age",
    limit: 1_000,
  });
});

Deno.test("problems of a query are named", () => {
  refused(() => read("colour=red"), /unknown parameter "colour"; known: tenant, user, room, /);
  refused(() => read("limit=1&limit=2"), /limit: expected once/);
  for (const limit of ["0", "1001", "-1", "1.5", "ten", "", "0x10", "99999999999"]) {
    refused(() => read(`limit=${limit}`), /limit: expected a whole number from 1 to 1000/);
  }
  for (const tenant of ["a.b", "*", "", "x".repeat(65), "ä", "a%20b", "<b>"]) {
    refused(() => read(`tenant=${tenant}`), /tenant: expected 1 to 64 of/);
  }
  refused(() => read("sort=size"), /sort: /);
  refused(() => read(`${"x".repeat(5_000)}=1`), /^.{0,300}$/);
  refused(() => read("__proto__=1"), /unknown parameter "__proto__"/);
  refused(() => read("constructor=1"), /unknown parameter "constructor"/);
});

Deno.test("a number that JavaScript cannot represent is refused in every query", () => {
  const tables = [...WHY_ROUTES.list(), ...DATA_ROUTES.list(), ...JOURNAL_ROUTES.list()];
  let tried = 0;
  for (const { about: { query = {} } } of tables) {
    for (const [name, schema] of Object.entries(query)) {
      if (!["offset", "since_ms", "until_ms"].includes(name)) continue;
      tried++;
      for (const number of ["9007199254740992", "-1", "1e3", "1.5", ""]) {
        const url = new URL(`http://x/?${name}=${number}`);
        refused(() => readQuery(url, { [name]: schema }), /a whole number from [01] to 9007/);
      }
    }
  }
  assert.equal(tried, 6);
});

Deno.test("an id in a path is checked", () => {
  assert.equal(requireId("a:b", "room"), "a:b");
  for (const text of ["a.b", "%", "%61", "/", "a b", "<script>", "", "x".repeat(65)]) {
    refused(() => requireId(text, "room"), /room: ".*" is not an id; expected 1 to 64 of/);
  }
});
