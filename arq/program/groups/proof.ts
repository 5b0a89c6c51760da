/** The commands of `arq proof`. */
import { command, type Definition, EACH, group, NEEDED, rows } from "./define.ts";
import { asks, sentence } from "./asks.ts";
import { ANSWER, BUS, calls, count, id, moment } from "./options.ts";

// A command is loaded when it runs.
const proof = () => import("../../commands/proof/proof.ts");

const SOURCE = rows`
    <source>  of the bus TENANT.ROOM, audit, journal@TENANT or usage@TENANT; an address, or ./FOLDER`;
const KEY = rows`
    --vkey <vkey>  who must have signed the log; several: any of them (default: the source's keys) ${EACH}
    --witness <vkey>  who must have cosigned the checkpoint; several: each of them ${EACH}
    --quorum <count>  how many of these witnesses (default: all) ${count}
    --json  print what was found as JSON`;

/** `arq usage invoice` */
export const INVOICE: Definition =
  command`usage invoice: add up the minutes of use that a log proves, and compare them with own counts; 1: they differ ${BUS}
    <source>  usage@TENANT of the bus, an address, ./FOLDER, or a FILE.proofs of --proof
    --from <time>  the minutes from this time on ${moment}
    --to <time>  the minutes before this time ${moment}
    --proof  print the minutes' entries, each with the proof that it is in the log
    --own <file>  own counts, a minute a line: {"minute":"2026-11-27T10:05Z","messages_in":120}
    ${KEY}

    A minute is in the log when it has ended. A FILE.proofs needs no bus, and no entry can be left out of it.
    $ arq usage invoice usage@acme --from 2026-11-01 --to 2026-12-01 --proof > november.proofs
    $ arq usage invoice november.proofs --vkey "$VKEY" --own mine.ndjson`(
    calls(() => import("../../commands/proof/invoice.ts"), "invoice"),
  );

/** `arq proof` */
export const PROOF: readonly Definition[] = [
  group`proof: transparency logs: checkpoints and proofs of a room or a record, checked on this machine`,
  command`proof checkpoint: print the newest checkpoint, to keep it ${BUS}
    ${SOURCE} ${KEY}

    A checkpoint that you keep shows later whether the log still has what it had.
    $ arq proof checkpoint acme.bets > monday.checkpoint`(calls(proof, "checkpoint")),
  command`proof key: print the keys that check a log, the newest first ${BUS}
    ${SOURCE} ${KEY}

    Take one from somebody whom you trust, and give it with --vkey from then on.
    $ arq proof key acme.bets`(calls(proof, "key")),
  command`proof inclusion: print the proof that an entry is in the log ${BUS}
    ${SOURCE}
    <offset>  the message's offset, or the audit entry's number ${count}
    ${KEY}

    The proof has the form of c2sp.org/tlog-proof.
    $ arq proof inclusion acme.bets 4711 > 4711.tlog-proof`(calls(proof, "inclusion")),
  command`proof consistency: check that a log continues a checkpoint that you have kept; 1: it does not ${BUS}
    ${SOURCE}
    <file>  the checkpoint
    ${KEY}


    $ arq proof consistency acme.bets monday.checkpoint`(calls(proof, "consistency")),
  command`proof verify: check every entry and tile of a log, and messages beside it; 1: something is wrong ${BUS}
    ${SOURCE} ${KEY}
    --older <file...>  checkpoints that the log must continue
    --log <source>  for a .receipt: the log that must have its entry by now

    A folder of arq proof save needs no bus. A file that ends in .tlog-proof is one entry with its proof, and one that ends in .receipt a receipt.
    $ arq proof verify ./bets --vkey "$VKEY" --older monday.checkpoint`(calls(proof, "verify")),
  command`proof save: write a log, and a room's messages beside it, into a new folder that proves itself ${BUS}
    ${SOURCE}
    <folder>  the new folder
    ${KEY}


    $ arq proof save acme.bets ./bets`(calls(proof, "save")),
  command`proof decide: make journalled decisions again on this machine, and show their places in the log; 1: one differs ${BUS}
    <file>  lines of arq journal export; - is stdin
    --log <source>  the log (default: journal@TENANT of the bus)
    --module <file>  a module that decided; repeatable (default: the bus's, by their hashes) ${EACH}
    --older <file...>  checkpoints that the log must continue
    ${KEY}

    Each policy's module is the one of the recorded hash, and gets the recorded inputs and fuel.
    $ arq journal export --message-id m-17 --out one.ndjson
    $ arq proof decide one.ndjson --vkey "$VKEY"`(
    calls(() => import("../../commands/proof/decide.ts"), "decide"),
  ),
  command`proof witness: cosign checkpoints of logs that only grow, for buses that name this witness
    --vkey <vkey>  the key of a log, as arq proof key prints it; it counts for all rooms of its tenant ${EACH} ${NEEDED}
    --key-file <file>  its Ed25519 private key (PKCS #8 PEM) ${NEEDED}
    --name <name>  its name, which readers know: an address without a scheme ${NEEDED}
    --state <file>  what it has cosigned, from which it goes on ${NEEDED}
    --listen <address>  HOST:PORT, behind a server that ends TLS ${{ is: "127.0.0.1:8025" }}
    --json  one JSON object a line for what happens

    The protocol is that of c2sp.org/tlog-witness. Keep the state: without it, a fork is not seen.
    $ arq proof witness --name witness.example/1 --key-file w.pem --state w.json --vkey "$VKEY"`(
    calls(() => import("../../commands/proof/witness.ts"), "witness"),
  ),
  command`proof rotate: make a new key for the logs of a tenant; the one before signs, too, until the next time
    [tenant]  whose (default: the audit log) ${id("tenant")}
    ${ANSWER}

    $ arq proof rotate acme`(asks({
    route: "POST /v1/proof/rotate?tenant",
    text: sentence((_, { tenant = "the bus" }) =>
      `logs of ${tenant} have a new key, and the one before signs, too`
    ),
  })),
];
