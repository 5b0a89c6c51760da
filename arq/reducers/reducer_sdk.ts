/**
 * The guest SDK of reducers as text in the program, so that `arq reducer build` has it in every form of `arq`,
 * without a checkout. A test compares the list with the folder.
 */
import arqon_room_v1 from "../../policies/reducer_sdk/arqon_room_v1.ts" with { type: "text" };
import command from "../../policies/reducer_sdk/command.ts" with { type: "text" };
import fields from "../../policies/reducer_sdk/fields.ts" with { type: "text" };
import guest from "../../policies/reducer_sdk/guest.ts" with { type: "text" };
import json from "../../policies/sdk/json.ts" with { type: "text" };
import mod from "../../policies/reducer_sdk/mod.ts" with { type: "text" };
import quote from "../../policies/reducer_sdk/quote.ts" with { type: "text" };
import reject from "../../policies/reducer_sdk/reject.ts" with { type: "text" };
import room from "../../policies/reducer_sdk/room.ts" with { type: "text" };

/** The text of each file of the guest SDK, by its name. */
export const REDUCER_SDK: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries({ arqon_room_v1, command, fields, guest, json, mod, quote, reject, room })
    .map(([name, text]) => [`${name}.ts`, text]),
);
