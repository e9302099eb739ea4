// SPDX-License-Identifier: Apache-2.0

/**
 * Layers at places of the user's choice: how they are shown, and what is told of them.
 *
 * @module
 */

/** How a view is made. */
export interface ViewOptions {
  /** Nothing can be written through this view, while others may write in the layer; what they write is seen. */
  readOnly?: boolean;
  /** SELinux context, where the layer is not mounted yet. */
  mountLabel?: string;
  /**
   * As those of `get`. `ro`, `nodev`, `nosuid` and `noexec` are the view's own; the others count where the layer is not
   * mounted yet.
   */
  mountOptions?: readonly string[];
}

/** Layers that are shown at a place of the user's choice. */
export interface ViewInfo {
  /** The place, absolute and without symbolic links. */
  path: string;
  /** The layers, the uppermost first. */
  ids: string[];
  /** Whether nothing can be written through it. */
  readOnly: boolean;
}

/** A view that `mountAt` made. Disposing it is `unmountAt`, unless it was there before. */
export interface MountedView extends ViewInfo, AsyncDisposable {
  /** Whether it was not there before. */
  isNew: boolean;
}
