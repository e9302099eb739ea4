// SPDX-License-Identifier: Apache-2.0

/**
 * Opens every libc symbol at import. The leak sanitizer would otherwise blame the first test that makes a call: "A
 * dynamic library was loaded during the test, but not unloaded". Imported for its effect.
 *
 * @module
 */

import { openAllSymbols } from "../../ffi/_libc.ts";

openAllSymbols();
