import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * A stock client that does nothing but be there. Run as a single source file:
 * {@code java -cp <clients> Push.java <producer|consumer|group|admin> <bootstrap> <client id> [name=value]...}.
 * Says its instance id once it has one, and closes itself when its standard input ends.
 */
public class Push {
    public static void main(String[] words) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", words[1]);
        settings.put("client.id", words[2]);
        settings.put("enable.metrics.push", "true");
        for (String setting : Arrays.asList(words).subList(3, words.length)) {
            String[] parts = setting.split("=", 2);
            settings.put(parts[0], parts[1]);
        }
        switch (words[0]) {
            case "producer" -> produce(settings);
            case "consumer" -> consume(settings, false);
            case "group" -> consume(settings, true);
            case "admin" -> administer(settings);
            default -> throw new IllegalArgumentException(words[0]);
        }
        System.out.println("closed");
    }

    private static void produce(Properties settings) throws Exception {
        var bytes = new ByteArraySerializer();
        try (var producer = new KafkaProducer<>(settings, bytes, bytes)) {
            introduce(producer.clientInstanceId(Duration.ofSeconds(60)));
            while (isWanted()) {
                TimeUnit.MILLISECONDS.sleep(50);
            }
        }
    }

    private static void consume(Properties settings, boolean inGroup) throws Exception {
        settings.put("group.id", "orders-group");
        var bytes = new ByteArrayDeserializer();
        try (var consumer = new KafkaConsumer<>(settings, bytes, bytes)) {
            if (inGroup) {
                consumer.subscribe(List.of("orders"));
            } else {
                consumer.assign(new ArrayList<>(List.of(new TopicPartition("orders", 0))));
            }
            boolean isKnown = false;
            while (isWanted()) {
                // A consumer asks for its subscription while it polls and at no other time.
                consumer.poll(Duration.ofMillis(50));
                isKnown = isKnown || introduce(consumer);
            }
        }
    }

    private static void administer(Properties settings) throws Exception {
        try (var admin = Admin.create(settings)) {
            introduce(admin.clientInstanceId(Duration.ofSeconds(60)));
            while (isWanted()) {
                TimeUnit.MILLISECONDS.sleep(50);
            }
        }
    }

    private static boolean introduce(KafkaConsumer<?, ?> consumer) {
        try {
            return introduce(consumer.clientInstanceId(Duration.ofMillis(1)));
        } catch (TimeoutException notYet) {
            return false;
        }
    }

    private static boolean introduce(Uuid instance) {
        if (instance == null) {
            return false;
        }
        System.out.println("instance " + instance);
        System.out.flush();
        return true;
    }

    /** Whether standard input is still open: its end is how a test says that it is enough, also if the test is gone. */
    private static boolean isWanted() {
        return !ENDED.ended;
    }

    private static final Ending ENDED = new Ending();

    /** Waits for the end of standard input. */
    private static final class Ending extends Thread {
        volatile boolean ended;

        Ending() {
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            try {
                while (System.in.read() >= 0) {
                    // What is said does not matter.
                }
            } catch (IOException error) {
                // Then it has ended, too.
            }
            ended = true;
        }
    }
}
