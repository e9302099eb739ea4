// SPDX-License-Identifier: Apache-2.0

/**
 * Three layers in which everything was done that can be done to a file system: `base`, `middle` on it and `top` on that.
 *
 * @module
 */

import type { GraphDriver } from "../../lib/drivers/driver.ts";
import { needsProgram, type Requirement } from "../_helpers/requires.ts";
import { runOk } from "../_helpers/run.ts";

export const NEEDS_CHANGED_LAYERS: readonly Requirement[] = ["setfattr", "setcap", "getfattr"].map(needsProgram);

/** What is done to each layer, in its mount. */
const CHANGES: Readonly<Record<string, string>> = {
  base: `
    mkdir -p etc usr/bin gone replaced/old moved empty sticky; echo hello >etc/motd; echo secret >etc/shadow;
    echo tool >usr/bin/tool; ln usr/bin/tool usr/bin/same; ln -s ../etc/motd usr/link; ln -s /etc/shadow absolute;
    echo 1 >gone/1; echo 2 >replaced/old/2; echo same-size >etc/content; echo linked >etc/one; ln etc/one etc/two;
    chmod 600 etc/shadow; chown 5:6 etc/shadow; chmod 4755 usr/bin/tool; chmod 1777 sticky; chown 7:8 empty;
    mkfifo fifo; mknod null c 1 3; setfattr -n user.color -v red etc/motd; setfattr -n trusted.t -v x empty;
    touch -hd '2001-02-03 04:05:06.123456789 UTC' usr/link; setcap cap_net_raw+ep usr/bin/tool;
    echo 1 >etc/time; touch -d '2003-04-05 06:07:08 UTC' etc/time sticky`,
  middle: `
    rm -r gone; rm -r replaced; mkdir replaced; echo new >replaced/new; rm etc/shadow; mv moved elsewhere;
    ln usr/bin/tool usr/bin/third; setfattr -x user.color etc/motd; setfattr -n user.shape -v round etc/motd;
    touch -r etc/content .time; echo elif-emas >etc/content; touch -r .time etc/content; rm .time;
    chmod 2775 empty; echo more >>etc/two`,
  top: `
    rm absolute; mkdir absolute; echo is-now >absolute/directory; rm -r usr/link; mkdir gone; chown 9:9 gone;
    rm fifo; echo no-fifo >fifo; touch etc/new; ln -s target sym; truncate -s 1M sparse; chmod 750 .;
    touch -d '2003-04-05 06:07:08.5 UTC' etc/time sticky; touch -d '2002-03-04 05:06:07.987654321 UTC' etc empty`,
};

/** Makes the three layers. */
export async function makeChangedLayers(driver: GraphDriver): Promise<void> {
  let parent: string | undefined;
  for (const [id, script] of Object.entries(CHANGES)) {
    await driver.createReadWrite(id, parent === undefined ? {} : { parent });
    await change(driver, id, script);
    parent = id;
  }
}

/** Runs a script of a shell in the mount of a layer. */
async function change(driver: GraphDriver, id: string, script: string): Promise<void> {
  await using layer = await driver.get(id);
  await runOk("sh", ["-ec", `cd "$1"; ${script}`, "sh", layer.path]);
}
