#!/bin/sh
# Compress the code of a built site for nginx: sh deploy/precompress.sh SITE
# Only files in assets/, because their names change with their content: an old .gz or .br cannot hide a new file.
# nginx compresses the other text files when they are requested. The files in data/ are compressed already;
# the setting site.brotli adds Brotli there.
set -eu
assets="$1/assets"
find "$assets" -type f ! -name '*.gz' ! -name '*.br' -exec gzip -9 -n -k -f {} +
if command -v brotli > /dev/null; then
    find "$assets" -type f ! -name '*.gz' ! -name '*.br' -exec brotli -q 11 -k -f {} +
else
    echo 'brotli is not installed: wrote .gz files only (apt-get install brotli)' >&2
fi
