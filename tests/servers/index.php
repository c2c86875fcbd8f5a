<?php
// SPDX-License-Identifier: Apache-2.0
// What PHP's workers log, and the truth about it. Lines go to stderr, which the master relays.
function wrote($line, $id)
{
	static $truth = null;
	$truth = $truth ?? fopen(getenv("TRUTH"), "ab");
	fwrite($truth, json_encode(["line" => $line, "id" => $id]) . "\n");
}

function info($line, $id)
{
	static $errors = null;
	$errors = $errors ?? fopen("php://stderr", "wb");
	fwrite($errors, "$line\n");
	wrote($line, $id);
}

[, $kind, $token] = explode("/", $_SERVER["REQUEST_URI"]);
$id = $_SERVER["HTTP_X_BASETEN_REQUEST_ID"] ?? null;
info("$token begin", $id);
if ($kind == "slow")
	usleep(60000);
info("$token works", $id);
error_log("$token logged"); // by PHP's own logger, which the worker writes with a prefix
wrote("NOTICE: PHP message: $token logged", $id);
info("$token done", $id);
echo "$token\n";
