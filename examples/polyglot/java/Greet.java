import java.util.Map;

public class Greet {
    public Map<String, String> handle(Map<String, String> event) {
        String name = event.get("name");
        if (name == null) {
            throw new IllegalArgumentException("nobody to greet");
        }
        System.out.println("greeting " + name);
        return Map.of(
            "greeting", "Hello, " + name + "!",
            "language", "Java " + System.getProperty("java.version"));
    }
}
