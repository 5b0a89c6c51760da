/** The facts about a body for the metering transform. */
import assert from "node:assert/strict";
import { decodeModule } from "./decode.ts";
import type { FunctionBody } from "./module.ts";
import { OPCODES } from "./opcodes.ts";
import { fromText } from "../testing/bytes.ts";

function bodyOf(text: string): FunctionBody {
  const found = decodeModule(fromText(`(module ${text})`)).functions[0];
  assert.ok(found !== undefined);
  return found;
}

/** "name height dead arity partner" of every instruction. */
function factLines({ code, facts }: FunctionBody): string[] {
  return code.map(({ op }, at) => {
    const { heights, dead, arities, partners } = facts;
    return `${OPCODES.get(op)?.name} ${heights[at]} ${dead[at]} ${arities[at]} ${partners[at]}`;
  });
}

Deno.test("heights, dead code, arities and partners of nested blocks", () => {
  const found = bodyOf(`(func (param i32) (result i32)
    i32.const 1
    block (result i32)
      local.get 0
      if (result i32)
        i32.const 2
        br 1
        block i32.const 3 drop end
      else
        i32.const 4
      end
      i32.const 5
      i32.const 0
      br_table 0 1
    end
    i32.add)`);
  assert.deepEqual(
    factLines(found),
    [
      "i32.const 0 0 0 0",
      "block 1 0 0 16",
      "local.get 1 0 0 0",
      "if 2 0 0 10",
      "i32.const 1 0 0 0",
      "br 2 0 1 0",
      "block 1 1 0 9",
      "i32.const 1 1 0 0",
      "drop 2 1 0 0",
      "end 1 1 0 6",
      "else 1 1 0 12",
      "i32.const 1 0 0 0",
      "end 2 0 0 10",
      "i32.const 2 0 0 0",
      "i32.const 3 0 0 0",
      "br_table 4 0 1 0",
      "end 1 1 0 1",
      "i32.add 2 0 0 0",
      "end 1 0 0 19",
    ],
  );
  assert.equal(found.facts.max_height, 4);
});

Deno.test("a loop's branch carries its parameters, a return the results", () => {
  const found = bodyOf(`(func (result i64 i64)
    i32.const 0
    loop (param i32) br 0 end
    i64.const 1 i64.const 2 return)`);
  const arities = [...found.facts.arities].filter((arity) => arity > 0);
  assert.deepEqual(arities, [1, 2]);
});
