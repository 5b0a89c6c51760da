/** The commands that publish and subscribe. */
import { command, type Definition, EACH } from "./define.ts";
import { BUS, calls, count, epoch, json, offset, PACE, positive, room, span } from "./options.ts";

const most = positive("a whole number above 0", true, 1e9);

/** `arq pub` and `arq sub`. */
export const MESSAGES: readonly Definition[] = [
  command`pub: publish to a room: one event, or one per line of NDJSON ${BUS}
    <room>  the room ${room}
    [data]  the event's data: JSON, or else text; without it, all of stdin is one event
    --ndjson <file>  one event a line, its bytes as they are; - is stdin
    --type <type>  type of the events ${{ is: "message" }}
    --message-id <id>  id of the one event: arq why finds it, a repetition is dropped
    ${PACE}
    --json  print the result as JSON, of a durable room with offset and epoch

    Text from stdin loses the line end at its end, and what is not UTF-8 is published as bytes.
    A file with a line that is not JSON is refused before anything of it is sent; stdin up to that line.
    Without --message-id every event has a random one, so a repetition after a reconnect is dropped.
    $ arq pub lobby '{"hello":"world"}'
    $ arq pub lobby 'hello' --type chat
    $ arq pub orders '{"item":"tea"}' --message-id order-4711
    $ jq -n '{at: now}' | arq pub lobby
    $ arq pub github --ndjson events.ndjson --rate 500
    $ tail -f log.ndjson | arq pub logs --ndjson -`(
    calls(() => import("../../commands/room/pub.ts"), "pub"),
  ),
  command`sub: print what is published to rooms ${BUS}
    <rooms...>  the rooms ${room} ${EACH}
    --count <n>  end after n messages ${count}
    --from <offset>  a durable room from after this offset on; 0: all there is ${offset}
      ${{ without: ["since", "last"] }}
    --epoch <epoch>  of --from; refuse a room that began anew since ${epoch}
    --since <time>  durable rooms from so long ago on: 10m, 1h or seconds ${span} ${{
    without: "last",
  }}
    --last <n>  durable rooms from the n newest messages on ${most}
    --filter <cel>  only messages for which this is true: 'data.price > 100'
    --presence  be a member of the rooms meanwhile; arq room watch shows it
    --meta <json>  what others see of the member (with --presence) ${json}
    --json  one JSON object a line, JSON data as it came

    On a terminal a message is a line \`room type sender data\`; in a pipe it is exactly its bytes
    and a newline. Everything else, also a loss of messages (GAP), goes to stderr. With --json each
    message of a durable room has its offset and epoch: --from the last one goes on without a hole.
    $ arq sub lobby
    $ arq sub lobby alerts --json | jq .data
    $ arq sub github --count 296 > events.ndjson
    $ arq sub orders --from $(tail -n1 out | jq .offset) --json >> out
    $ arq sub orders --since 10m
    $ arq sub orders --filter 'headers["region"] == "eu"'
    $ arq sub lobby --presence --meta '{"status":"here"}'`(
    calls(() => import("../../commands/room/sub.ts"), "sub"),
  ),
];
