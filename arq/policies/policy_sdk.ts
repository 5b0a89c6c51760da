/**
 * The guest SDK of policies as text in the program, so that `arq policy build` has it in every form of `arq`,
 * without a checkout. A test compares the list with the folder.
 */
import appending from "../../policies/sdk/appending.ts" with { type: "text" };
import arqon_host_v1 from "../../policies/sdk/arqon_host_v1.ts" with { type: "text" };
import arqon_host_v2 from "../../policies/sdk/arqon_host_v2.ts" with { type: "text" };
import fold_table from "../../policies/sdk/fold_table.ts" with { type: "text" };
import guest from "../../policies/sdk/guest.ts" with { type: "text" };
import json from "../../policies/sdk/json.ts" with { type: "text" };
import log from "../../policies/sdk/log.ts" with { type: "text" };
import mod from "../../policies/sdk/mod.ts" with { type: "text" };
import replacing from "../../policies/sdk/replacing.ts" with { type: "text" };
import request from "../../policies/sdk/request.ts" with { type: "text" };
import state from "../../policies/sdk/state.ts" with { type: "text" };
import v2 from "../../policies/sdk/v2.ts" with { type: "text" };
import words from "../../policies/sdk/words.ts" with { type: "text" };

/** The text of each file of the guest SDK, by its name. */
export const POLICY_SDK: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries({
    appending,
    arqon_host_v1,
    arqon_host_v2,
    fold_table,
    guest,
    json,
    log,
    mod,
    replacing,
    request,
    state,
    v2,
    words,
  }).map(([name, text]) => [`${name}.ts`, text]),
);

/** Folder under which problems in the SDK's own files are shown. */
export const POLICY_SDK_FOLDER = "@arqon/policy/";
