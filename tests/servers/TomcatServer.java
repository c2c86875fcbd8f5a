// SPDX-License-Identifier: Apache-2.0
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import org.apache.catalina.Context;
import org.apache.catalina.LifecycleException;
import org.apache.catalina.startup.Tomcat;

/** Tomcat: a poller waits for all connections, a pool thread reads and serves. */
final class TomcatServer {
	static final class Work extends HttpServlet {
		@Override
		protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
			request.getInputStream().readAllBytes();
			byte[] body = Truth.work(request.getRequestURI(), request.getHeader(Truth.HEADER));
			response.setContentLength(body.length);
			response.getOutputStream().write(body);
		}
	}

	public static void main(String[] args) throws LifecycleException {
		Tomcat tomcat = new Tomcat();
		tomcat.setBaseDir(System.getenv("BUILD"));
		tomcat.setPort(Truth.PORT);
		tomcat.getConnector().setProperty("address", "127.0.0.1");
		tomcat.getConnector().setProperty("maxThreads", String.valueOf(Truth.POOL));
		Context context = tomcat.addContext("", System.getenv("BUILD"));
		Tomcat.addServlet(context, "work", new Work());
		context.addServletMappingDecoded("/*", "work");
		Truth.heartbeats();
		tomcat.start();
		tomcat.getServer().await();
	}
}
