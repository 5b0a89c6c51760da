/** The commands of `arq proof`. */
import { command, type Definition, EACH, group, NEEDED, rows } from "./define.ts";
import { asks, sentence } from "./asks.ts";
import { ANSWER, BUS, calls, count, id, moment } from "./options.ts";

// A command is loaded when it runs.
const proof = () => import("../../commands/proof/proof.ts");

const SOURCE = rows`
    <source>  TENANT.ROOM, audit, journal@TENANT or usage@TENANT of the bus; an address, or ./FOLDER`;
const KEY = rows`
    --vkey <vkey>  required key of the log's signature; several: any of them (default: the source's keys) ${EACH}
    --witness <vkey>  required cosignature of the checkpoint; several: each of them ${EACH}
    --quorum <count>  the required number of these witnesses (default: all) ${count}
    --json  print the findings as JSON`;

/** `arq usage invoice` */
export const INVOICE: Definition =
  command`usage invoice: sum the minutes of usage that a log proves, and compare them with your counts; 1: they differ ${BUS}
    <source>  usage@TENANT of the bus, an address, ./FOLDER, or a FILE.proofs of --proof
    --from <time>  only minutes from this time on ${moment}
    --to <time>  only minutes before this time ${moment}
    --proof  print the minutes' entries, each with its inclusion proof
    --own <file>  your counts, a minute a line: {"minute":"2026-11-27T10:05Z","messages_in":120}
    ${KEY}

    A minute is in the log after its end. A FILE.proofs needs no bus, and shows whether an entry is missing.
    $ arq usage invoice usage@acme --from 2026-11-01 --to 2026-12-01 --proof > november.proofs
    $ arq usage invoice november.proofs --vkey "$VKEY" --own mine.ndjson`(
    calls(() => import("../../commands/proof/invoice.ts"), "invoice"),
  );

/** `arq proof` */
export const PROOF: readonly Definition[] = [
  group`proof: transparency logs: checkpoints and proofs of a room or a record, checked on this machine`,
  command`proof checkpoint: print the newest checkpoint, for saving ${BUS}
    ${SOURCE} ${KEY}

    A saved checkpoint later shows whether the log still extends it.
    $ arq proof checkpoint acme.bets > monday.checkpoint`(calls(proof, "checkpoint")),
  command`proof key: print the public keys of a log, newest first ${BUS}
    ${SOURCE} ${KEY}

    Get a key from a trusted source once, and then use it with --vkey.
    $ arq proof key acme.bets`(calls(proof, "key")),
  command`proof inclusion: print the inclusion proof of an entry ${BUS}
    ${SOURCE}
    <offset>  the message's offset, or the audit entry's number ${count}
    ${KEY}

    The proof has the form of c2sp.org/tlog-proof.
    $ arq proof inclusion acme.bets 4711 > 4711.tlog-proof`(calls(proof, "inclusion")),
  command`proof consistency: check that a log extends a saved checkpoint; 1: it does not ${BUS}
    ${SOURCE}
    <file>  the checkpoint
    ${KEY}


    $ arq proof consistency acme.bets monday.checkpoint`(calls(proof, "consistency")),
  command`proof verify: check every entry and tile of a log, and its messages; 1: a check failed ${BUS}
    ${SOURCE} ${KEY}
    --older <file...>  checkpoints that the log must extend
    --log <source>  for a .receipt: the log that must already have its entry

    A folder of arq proof save or of arq export --log needs no bus. A file that ends in .tlog-proof is one entry with its proof, and one that ends in .receipt a receipt.
    $ arq proof verify ./bets --vkey "$VKEY" --older monday.checkpoint`(calls(proof, "verify")),
  command`proof save: write a log, and a room's messages, into a new folder that can be verified alone ${BUS}
    ${SOURCE}
    <folder>  the new folder
    ${KEY}


    $ arq proof save acme.bets ./bets`(calls(proof, "save")),
  command`proof decide: repeat journalled decisions on this machine, and show their indexes in the log; 1: one differs ${BUS}
    <file>  lines of arq journal export; - is stdin
    --log <source>  the log (default: journal@TENANT of the bus)
    --module <file>  a module that decided; repeatable (default: the bus's, by their hashes) ${EACH}
    --older <file...>  checkpoints that the log must continue
    ${KEY}

    Each policy runs the module with the recorded hash, with the recorded inputs and fuel.
    $ arq journal export --message-id m-17 --out one.ndjson
    $ arq proof decide one.ndjson --vkey "$VKEY"`(
    calls(() => import("../../commands/proof/decide.ts"), "decide"),
  ),
  command`proof witness: cosign checkpoints of append-only logs, for buses that name this witness
    --vkey <vkey>  the key of a log, as arq proof key prints it; valid for all rooms of its tenant ${EACH} ${NEEDED}
    --key-file <file>  the witness's Ed25519 private key (PKCS #8 PEM) ${NEEDED}
    --name <name>  the witness's name for readers: an address without a scheme ${NEEDED}
    --state <file>  the file with the cosigned checkpoints, from which it continues ${NEEDED}
    --listen <address>  HOST:PORT, behind a proxy that terminates TLS ${{ is: "127.0.0.1:8025" }}
    --json  print events as JSON, one object a line

    The protocol is c2sp.org/tlog-witness. Keep the state file: without it, forks are not detected.
    $ arq proof witness --name witness.example/1 --key-file w.pem --state w.json --vkey "$VKEY"`(
    calls(() => import("../../commands/proof/witness.ts"), "witness"),
  ),
  command`proof rotate: create a new key for the logs of a tenant; the previous one also signs until the next rotation
    [tenant]  whose (default: the audit log) ${id("tenant")}
    ${ANSWER}

    $ arq proof rotate acme`(asks({
    route: "POST /v1/proof/rotate?tenant",
    text: sentence((_, { tenant = "the bus" }) =>
      `logs of ${tenant} have a new key, and the previous one signs, too`
    ),
  })),
];
