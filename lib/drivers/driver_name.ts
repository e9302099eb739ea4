// SPDX-License-Identifier: Apache-2.0

/**
 * The drivers by name.
 *
 * @module
 */

/** The drivers there are: Docker's, Docker's legacy one, and that of Podman, Buildah and CRI-O. */
export type DriverName = "overlay2" | "overlay" | "containers-overlay";
