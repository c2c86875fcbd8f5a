// SPDX-License-Identifier: Apache-2.0
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.URL;
import java.nio.charset.StandardCharsets;

/** What a Java server of the matrix logs, and the truth about it. */
final class Truth {
	static final String HEADER = "x-baseten-request-id";
	static final int PORT = Integer.parseInt(System.getenv("PORT"));
	static final int POOL = Integer.parseInt(System.getenv().getOrDefault("POOL", "16"));
	private static final FileOutputStream truth = open();

	private static FileOutputStream open() {
		try {
			return new FileOutputStream(System.getenv("TRUTH"), true);
		} catch (IOException e) {
			throw new UncheckedIOException(e);
		}
	}

	static void info(PrintStream out, String line, String id) {
		/* one write a line: println() of a PrintStream would make two */
		byte[] bytes = (line + "\n").getBytes(StandardCharsets.UTF_8);
		out.write(bytes, 0, bytes.length);
		out.flush();
		String text = "{\"line\": \"" + line + "\", \"id\": " + (id == null ? "null" : "\"" + id + "\"") + "}\n";
		try {
			truth.write(text.getBytes(StandardCharsets.UTF_8));
		} catch (IOException e) {
			throw new UncheckedIOException(e);
		}
	}

	static byte[] work(String path, String id) throws IOException {
		String[] part = path.split("/");
		String token = part[2];
		info(System.err, token + " begin", id);
		if (part[1].equals("call"))
			try (InputStream in = new URL("http://" + System.getenv("UPSTREAM") + "/").openStream()) {
				in.readAllBytes();
			}
		else if (part[1].equals("slow"))
			pause(60);
		info(System.out, token + " works", id);
		info(System.err, token + " done", id);
		return (token + "\n").getBytes(StandardCharsets.UTF_8);
	}

	static void pause(int milliseconds) {
		try {
			Thread.sleep(milliseconds);
		} catch (InterruptedException e) {
			Thread.currentThread().interrupt();
		}
	}

	static void heartbeats() {
		info(System.err, "start-up", null);
		for (int i = 0; i < 2; i++) {
			String name = "heartbeat " + i + " ";
			Thread thread = new Thread(() -> {
				for (int n = 1;; n++) {
					info(System.err, name + n, null);
					try {
						Thread.sleep(5);
					} catch (InterruptedException e) {
						return;
					}
				}
			});
			thread.setDaemon(true);
			thread.start();
		}
	}
}
