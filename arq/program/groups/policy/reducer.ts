/** The commands of `arq reducer`, which need no bus. */
import { command, type Definition, group, NEEDED } from "../define.ts";
import { calls, positive, room } from "../options.ts";
import { fuel, memoryPages } from "./policy_local.ts";

/** `arq reducer` */
export const REDUCER: readonly Definition[] = [
  group`reducer: rooms as programs, on this machine: build, test, types`,
  command`reducer build: compile a reducer written in AssemblyScript
    <entry>  the reducer's .ts file
    -o, --output <file>  the module (default: beside the entry, with .wasm)
    --json  print the result, or what is wrong, as JSON

    The reducer imports "@arqon/reducer" and files of its own folder. A problem is told with file,
    line and column, exit code 1.
    $ arq reducer build auction.ts
    $ arq reducer build src/room.ts -o room.wasm`(
    calls(() => import("../../../commands/reducer/reducer_build.ts"), "reducerBuild"),
  ),
  command`reducer test: apply a module to the commands of a file and print what each came to
    <file>  the WebAssembly module
    --commands <file>  commands, one JSON object a line ${NEEDED}
    --compare <file>  another module with the same log: where it differs
    --begin <file>  a snapshot to begin with (default: an empty room)
    --snapshot <file>  write the state at the end there
    --values  print every value at the end
    --room <id>  room ${room} ${{ is: "lobby" }}
    --seed <n>  where the randomness of commands begins ${positive("a number", true, 2 ** 31)} ${{
    is: 1,
  }}
    --fuel-limit <n>  fuel of a command ${fuel} ${{ is: 10_000 }}
    --memory-limit-pages <n>  memory in pages of 64 KiB
      ${memoryPages} ${{ is: 64 }}
    --json  print a JSON object for each entry, and one at the end

    The same module and commands give the same digests on every machine. Exit code 1 when a command
    is a fault, or when the two modules differ.
    $ arq reducer test auction.wasm --commands bids.ndjson --values
    $ arq reducer test new.wasm --compare auction.wasm --commands bids.ndjson
    $ arq reducer test auction.wasm --commands more.ndjson --begin at-noon.snapshot --json`(
    calls(() => import("../../../commands/reducer/reducer_try.ts"), "reducerTry"),
  ),
  command`reducer types: make types for clients, or for the reducer, of a room's schema
    <schema>  the schema, or a module that has one
    --out <file>  file of TypeScript (.ts) or Python (.py) to write ${NEEDED}
    --guest  AssemblyScript for the reducer itself: what commands bring, answer and tell
    --check  write nothing; exit code 1 when the file is another
    --json  print what was made as JSON

    The types are for reduced<Sale>(room) of "@arqon/sdk/reducers", or sale(room) in Python: names of
    commands, what they bring and answer, events and values are then checked by the compiler.
    $ arq reducer types sale.schema.json --out sale_types.ts
    $ arq reducer types sale.wasm --out sale_types.py
    $ arq reducer types sale.schema.json --guest --out src/sale_types.ts`(
    calls(() => import("../../../commands/reducer/reducer_types.ts"), "reducerTypes"),
  ),
];
